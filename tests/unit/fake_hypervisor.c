/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_hypervisor.h"

#include <errno.h>
#include <string.h>

#include "hv/status.h"

static struct fake_hypervisor *as_fake(struct hypervisor *hypervisor)
{
    return (struct fake_hypervisor *)((char *)hypervisor - offsetof(struct fake_hypervisor, hypervisor));
}

static unsigned find_register(struct fake_vp *vp, uint32_t name)
{
    for (unsigned i = 0; i < vp->register_count; i++)
        if (vp->registers[i].name == name)
            return i;
    vp->registers[vp->register_count].name = name;
    return vp->register_count++;
}

static int create_partition(struct hypervisor *hypervisor, uint64_t flags)
{
    as_fake(hypervisor)->creation_flags = flags;
    return 0;
}

static int initialize_partition(struct hypervisor *hypervisor)
{
    as_fake(hypervisor)->initialized = true;
    return 0;
}

static int partition_id(struct hypervisor *hypervisor, uint64_t *id)
{
    (void)hypervisor;
    *id = 42;
    return 0;
}

static int map_memory(struct fake_hypervisor *fake, const struct mshv_user_mem_region *region)
{
    for (unsigned i = 0; i < fake->region_count; i++) {
        const struct mshv_user_mem_region *other = &fake->regions[i];

        if (region->guest_pfn < other->guest_pfn + (other->size >> HV_PAGE_SHIFT) &&
            other->guest_pfn < region->guest_pfn + (region->size >> HV_PAGE_SHIFT))
            return -EEXIST;
    }
    fake->regions[fake->region_count++] = *region;
    return 0;
}

static int unmap_memory(struct fake_hypervisor *fake, const struct mshv_user_mem_region *region)
{
    for (unsigned i = 0; i < fake->region_count; i++) {
        if (fake->regions[i].guest_pfn != region->guest_pfn)
            continue;
        if (fake->regions[i].size != region->size ||
            fake->regions[i].userspace_addr != region->userspace_addr)
            return -EINVAL;
        fake->regions[i] = fake->regions[--fake->region_count];
        return 0;
    }
    return -ENOENT;
}

static int set_memory(struct hypervisor *hypervisor, const struct mshv_user_mem_region *region)
{
    if (region->size == 0 || region->size % HV_PAGE_SIZE || region->userspace_addr % HV_PAGE_SIZE)
        return -EINVAL;
    return region->flags & MSHV_SET_MEM_UNMAP ? unmap_memory(as_fake(hypervisor), region)
                                              : map_memory(as_fake(hypervisor), region);
}

static int written_pages(struct hypervisor *hypervisor, uint64_t first, uint64_t count,
                         enum mshv_gpap_access_op operation, uint64_t *bitmap)
{
    struct fake_hypervisor *fake = as_fake(hypervisor);

    memset(bitmap, 0, (count + 63) / 64 * sizeof *bitmap);
    pthread_mutex_lock(&fake->lock);
    for (uint64_t i = 0; i < count && fake->written_error == 0; i++) {
        uint64_t *word = &fake->written[(first + i) / 64 % FAKE_WRITTEN_WORDS], bit = 1ull << (first + i) % 64;

        if (*word & bit)
            bitmap[i / 64] |= 1ull << i % 64;
        if (operation != MSHV_GPAP_ACCESS_OP_NOOP)
            *word = operation == MSHV_GPAP_ACCESS_OP_SET ? *word | bit : *word & ~bit;
    }
    pthread_mutex_unlock(&fake->lock);
    return fake->written_error;
}

static uint16_t get_registers(struct fake_hypervisor *fake, struct mshv_root_hvcall *call)
{
    const struct hv_input_get_vp_registers *input = (const void *)(uintptr_t)call->in_ptr;
    union hv_register_value *output = (void *)(uintptr_t)call->out_ptr;

    if (call->in_sz != sizeof *input + call->reps * sizeof(uint32_t) ||
        call->out_sz != call->reps * sizeof *output)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    for (unsigned i = 0; i < call->reps; i++) {
        struct fake_vp *vp = &fake->vps[input->vp_index];

        output[i] = vp->registers[find_register(vp, input->names[i])].value;
    }
    return HV_STATUS_SUCCESS;
}

static uint16_t set_registers(struct fake_hypervisor *fake, struct mshv_root_hvcall *call)
{
    const struct hv_input_set_vp_registers *input = (const void *)(uintptr_t)call->in_ptr;

    if (call->in_sz != sizeof *input + call->reps * sizeof(struct hv_register_assoc))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    for (unsigned i = 0; i < call->reps; i++) {
        struct fake_vp *vp = &fake->vps[input->vp_index];
        unsigned index = find_register(vp, input->elements[i].name);

        vp->registers[index].value = input->elements[i].value;
        vp->registers[index].sets++;
    }
    return HV_STATUS_SUCCESS;
}

static uint16_t translate(struct fake_hypervisor *fake, struct mshv_root_hvcall *call)
{
    const struct hv_input_translate_virtual_address *input = (const void *)(uintptr_t)call->in_ptr;
    struct hv_output_translate_virtual_address *output = (void *)(uintptr_t)call->out_ptr;

    fake->translations++;
    fake->last_translate_flags = input->control_flags;
    *output = (struct hv_output_translate_virtual_address){.gpa_page = input->gva_page};
    if (fake->forbidden_page && input->gva_page == fake->forbidden_page) {
        output->result_code = fake->forbidden_result;
        if (fake->forbidden_gpa_is_zero)
            output->gpa_page = 0;
    }
    return HV_STATUS_SUCCESS;
}

static uint16_t set_property(struct fake_hypervisor *fake, struct mshv_root_hvcall *call)
{
    const struct hv_input_set_partition_property *input = (const void *)(uintptr_t)call->in_ptr;

    fake->properties[fake->property_count].code = input->property_code;
    fake->properties[fake->property_count].value = input->property_value;
    fake->properties[fake->property_count++].before_initialize = !fake->initialized;
    return HV_STATUS_SUCCESS;
}

static uint16_t get_property(struct mshv_root_hvcall *call)
{
    const struct hv_input_get_partition_property *input = (const void *)(uintptr_t)call->in_ptr;

    *(uint64_t *)(uintptr_t)call->out_ptr =
        input->property_code == HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH ? 40 : 0;
    return HV_STATUS_SUCCESS;
}

static uint16_t perform(struct fake_hypervisor *fake, struct mshv_root_hvcall *call)
{
    if (fake->refused_call && call->code == fake->refused_call)
        return fake->refused_status;
    switch (call->code) {
    case HVCALL_GET_VP_REGISTERS:
        return get_registers(fake, call);
    case HVCALL_SET_VP_REGISTERS:
        return set_registers(fake, call);
    case HVCALL_TRANSLATE_VIRTUAL_ADDRESS:
        return translate(fake, call);
    case HVCALL_SET_PARTITION_PROPERTY:
        return set_property(fake, call);
    case HVCALL_GET_PARTITION_PROPERTY:
        return get_property(call);
    case HVCALL_REGISTER_INTERCEPT_RESULT:
        fake->cpuid_results++;
        return HV_STATUS_SUCCESS;
    case HVCALL_ASSERT_VIRTUAL_INTERRUPT:
        memcpy(&fake->asserts[fake->assert_count++ % FAKE_ASSERTS], (const void *)(uintptr_t)call->in_ptr,
               sizeof fake->asserts[0]);
        return HV_STATUS_SUCCESS;
    default:
        return HV_STATUS_INVALID_HYPERCALL_CODE;
    }
}

static int perform_call(struct hypervisor *hypervisor, struct mshv_root_hvcall *call)
{
    struct fake_hypervisor *fake = as_fake(hypervisor);

    pthread_mutex_lock(&fake->lock);
    call->status = perform(fake, call);
    pthread_mutex_unlock(&fake->lock);
    return call->status == HV_STATUS_SUCCESS ? 0 : -EIO;
}

static int create_vp(struct hypervisor *hypervisor, uint32_t index, struct vp_pages *pages)
{
    struct fake_hypervisor *fake = as_fake(hypervisor);

    if (index != fake->vp_count || index >= FAKE_VPS)
        return -EINVAL;
    fake->vp_count++;
    *pages = (struct vp_pages){&fake->vps[index].page, &fake->vps[index].message};
    return 0;
}

static int run_vp(struct hypervisor *hypervisor, uint32_t index, const atomic_uint *attention)
{
    struct fake_hypervisor *fake = as_fake(hypervisor);
    struct fake_vp *vp = &fake->vps[index];
    int error = 0;

    pthread_mutex_lock(&fake->lock);
    vp->runs++;
    while (!atomic_load(attention) && !vp->message_count && !vp->run_error) {
        vp->idle++;
        pthread_cond_broadcast(&fake->changed);
        pthread_cond_wait(&fake->changed, &fake->lock);
    }
    if (atomic_load(attention)) {
        error = -EINTR;
    } else if (vp->run_error) {
        error = vp->run_error;
    } else {
        vp->message = vp->messages[vp->first_message++ % FAKE_MESSAGES];
        vp->message_count--;
        vp->page.isvalid = 1;
        vp->page.dirty = 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return error;
}

static void kick_vp(struct hypervisor *hypervisor, uint32_t index, pthread_t thread)
{
    struct fake_hypervisor *fake = as_fake(hypervisor);

    (void)index;
    (void)thread;
    pthread_mutex_lock(&fake->lock);
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

static int get_vp_state(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page)
{
    memcpy(page, as_fake(hypervisor)->vps[index].states[type], HV_PAGE_SIZE);
    return (uintptr_t)page % HV_PAGE_SIZE ? -EINVAL : 0;
}

static int set_vp_state(struct hypervisor *hypervisor, uint32_t index, enum mshv_vp_state_type type,
                        void *page)
{
    memcpy(as_fake(hypervisor)->vps[index].states[type], page, HV_PAGE_SIZE);
    return (uintptr_t)page % HV_PAGE_SIZE ? -EINVAL : 0;
}

static const struct hypervisor_operations operations = {
    .create_partition = create_partition,
    .initialize_partition = initialize_partition,
    .partition_id = partition_id,
    .set_memory = set_memory,
    .written_pages = written_pages,
    .call = perform_call,
    .create_vp = create_vp,
    .run_vp = run_vp,
    .kick_vp = kick_vp,
    .get_vp_state = get_vp_state,
    .set_vp_state = set_vp_state,
};

void fake_hypervisor_initialize(struct fake_hypervisor *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->hypervisor.operations = &operations;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
}

void fake_hypervisor_destroy(struct fake_hypervisor *fake)
{
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
}

void fake_send(struct fake_hypervisor *fake, uint32_t vp_index, enum hv_message_type type,
               const void *payload, size_t size)
{
    struct fake_vp *vp = &fake->vps[vp_index];
    struct hv_message *message;

    pthread_mutex_lock(&fake->lock);
    message = &vp->messages[(vp->first_message + vp->message_count++) % FAKE_MESSAGES];
    memset(message, 0, sizeof *message);
    message->header.message_type = type;
    message->header.payload_size = (uint8_t)size;
    memcpy(message->payload, payload, size);
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

void fake_port(struct fake_hypervisor *fake, uint32_t vp, bool write, uint16_t port, unsigned size)
{
    const struct hv_vp_register_page *page = &fake->vps[vp].page;
    struct hv_x64_io_port_intercept_message message = {
        .header = {.vp_index = vp,
                   .instruction_length_cr8 = 1,
                   .intercept_access_type = write ? HV_INTERCEPT_ACCESS_WRITE : HV_INTERCEPT_ACCESS_READ,
                   .rip = page->rip,
                   .rflags = page->rflags},
        .port_number = port,
        .access_info = (uint8_t)size,
        .rax = page->gp_registers[0],
    };

    fake_send(fake, vp, HVMSG_X64_IO_PORT_INTERCEPT, &message, sizeof message);
}

void fake_wait_idle(struct fake_hypervisor *fake, uint32_t vp_index)
{
    struct fake_vp *vp = &fake->vps[vp_index];
    unsigned before;

    pthread_mutex_lock(&fake->lock);
    before = vp->idle;
    pthread_cond_broadcast(&fake->changed); /* a waiting VP counts again */
    while (vp->message_count || vp->idle == before)
        pthread_cond_wait(&fake->changed, &fake->lock);
    pthread_mutex_unlock(&fake->lock);
}

union hv_register_value fake_register_value(struct fake_hypervisor *fake, uint32_t vp, uint32_t name)
{
    union hv_register_value value;

    pthread_mutex_lock(&fake->lock);
    value = fake->vps[vp].registers[find_register(&fake->vps[vp], name)].value;
    pthread_mutex_unlock(&fake->lock);
    return value;
}

uint64_t fake_register(struct fake_hypervisor *fake, uint32_t vp, uint32_t name)
{
    return fake_register_value(fake, vp, name).low;
}

unsigned fake_register_sets(struct fake_hypervisor *fake, uint32_t vp, uint32_t name)
{
    unsigned sets;

    pthread_mutex_lock(&fake->lock);
    sets = fake->vps[vp].registers[find_register(&fake->vps[vp], name)].sets;
    pthread_mutex_unlock(&fake->lock);
    return sets;
}

void fake_set_register(struct fake_hypervisor *fake, uint32_t vp, uint32_t name, uint64_t value)
{
    pthread_mutex_lock(&fake->lock);
    fake->vps[vp].registers[find_register(&fake->vps[vp], name)].value.low = value;
    pthread_mutex_unlock(&fake->lock);
}

const struct mshv_user_mem_region *fake_region(struct fake_hypervisor *fake, uint64_t gpa)
{
    for (unsigned i = 0; i < fake->region_count; i++) {
        const struct mshv_user_mem_region *region = &fake->regions[i];

        if (gpa >> HV_PAGE_SHIFT >= region->guest_pfn &&
            (gpa >> HV_PAGE_SHIFT) - region->guest_pfn < region->size >> HV_PAGE_SHIFT)
            return region;
    }
    return NULL;
}

uint64_t fake_property(struct fake_hypervisor *fake, uint32_t code, bool *found)
{
    uint64_t value = 0;

    *found = false;
    pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < fake->property_count; i++) {
        if (fake->properties[i].code == code) {
            value = fake->properties[i].value;
            *found = true;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return value;
}
