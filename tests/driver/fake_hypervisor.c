// SPDX-License-Identifier: GPL-2.0-or-later
#define pr_fmt(format) "fake hypervisor: " format

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <asm/apic.h>
#include <asm/tsc.h>

#include "fake_hypervisor.h"
#include "hypervisor.h"

#define FRAMES             (1u << 18) /* 1 GiB */
#define DEPOSIT_PATTERN    0x5A
#define INITIALIZE_FRAMES  8
#define CREATE_VP_FRAMES   100 /* more than one deposit of the driver's minimum */
#define MAPPINGS_PER_TABLE 512
#define LOG_LINES          600
#define LOG_LINE           "[0.000000] the fake hypervisor's log, line %04u\n"
#define LOG_LINE_SIZE      48u

static bool absent;
module_param(absent, bool, 0444);
MODULE_PARM_DESC(absent, "there is no hypervisor");
static uint version = LOAM_INTERFACE_VERSION;
module_param(version, uint, 0444);
MODULE_PARM_DESC(version, "interface version to report");
static uint stale;
module_param(stale, uint, 0444);
MODULE_PARM_DESC(stale, "partitions of a kernel before this one");
static uint rep_limit = 100;
module_param(rep_limit, uint, 0644);
MODULE_PARM_DESC(rep_limit, "elements of a rep call done at once");
static int fail_call;
module_param(fail_call, int, 0644);
MODULE_PARM_DESC(fail_call, "the how manieth hypercall from now is the first to fail; 0: none");
static int fail_count;
module_param(fail_count, int, 0644);
MODULE_PARM_DESC(fail_count, "how many fail, then");
static uint fail_status = HV_STATUS_OPERATION_FAILED;
module_param(fail_status, uint, 0644);
MODULE_PARM_DESC(fail_status, "its status");
static uint violations;
module_param(violations, uint, 0444);
MODULE_PARM_DESC(violations, "how often the driver broke the rules of the interface");

struct frame {
    u32 next; /* of the same owner's free list */
    u8 owner; /* 0 the parent, else partition slot + 1 */
    u8 maps;
};

static DEFINE_RAW_SPINLOCK(fake_lock);
static struct frame frames[FRAMES];
static struct fake_partition partitions[FAKE_PARTITIONS];
static struct fake_partition parent; /* its own deposits */
static u64 next_id = 100;

/* A rule of the interface that the driver must keep whatever the VMM does. */
#define RULE(condition)                                                                                      \
    ({                                                                                                       \
        bool kept = (condition);                                                                             \
                                                                                                             \
        if (!kept) {                                                                                         \
            violations++;                                                                                    \
            pr_err("the driver breaks a rule: %s\n", #condition);                                            \
        }                                                                                                    \
        kept;                                                                                                \
    })

struct call {
    u16 code;
    u16 reps;
    u16 start;
    u16 done;
    u16 variable;
    bool fast;
    u64 first;
    u64 second;
    void *input;
    void *output; /* NULL: none given */
};

bool hypervisor_identify(struct hypervisor_identity *identity)
{
    unsigned int i;

    if (absent)
        return false;
    for (i = 0; i < FAKE_PARTITIONS; i++)
        xa_init_flags(&partitions[i].gpa, XA_FLAGS_LOCK_IRQ);
    *identity =
        (struct hypervisor_identity){.interface_version = version, .logical_processors = num_online_cpus()};
    return true;
}

static struct fake_partition *find_partition(u64 id)
{
    unsigned int i;

    for (i = 0; i < FAKE_PARTITIONS; i++)
        if (partitions[i].state != FAKE_UNUSED && partitions[i].id == id)
            return &partitions[i];
    return NULL;
}

static u8 owner_of(const struct fake_partition *partition)
{
    return partition == &parent ? FAKE_PARTITIONS + 1 : partition - partitions + 1;
}

/* Uses up frames of the partition's deposit. */
static u16 use_frames(struct fake_partition *partition, u32 count)
{
    if (partition->deposited - partition->used < count)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    partition->used += count;
    return HV_STATUS_SUCCESS;
}

static u16 create_partition(struct call *call)
{
    struct hv_input_create_partition *input = call->input;
    struct hv_partition_id_only *output = call->output;
    unsigned int i;

    if (!RULE(input->compatibility_version == HV_COMPATIBILITY_VERSION) || !RULE(output) ||
        !RULE(input->creation_flags & HV_CREATE_EXO_PARTITION) ||
        !RULE(input->creation_flags & HV_CREATE_INTERCEPT_MESSAGE_PAGE))
        return HV_STATUS_INVALID_PARAMETER;
    for (i = 0; i < FAKE_PARTITIONS; i++)
        if (partitions[i].state == FAKE_UNUSED)
            break;
    if (i == FAKE_PARTITIONS)
        return HV_STATUS_NO_RESOURCES;
    partitions[i] = (struct fake_partition){.state = FAKE_CREATED, .id = next_id++};
    xa_init_flags(&partitions[i].gpa, XA_FLAGS_LOCK_IRQ);
    output->partition_id = partitions[i].id;
    return HV_STATUS_SUCCESS;
}

static u16 initialize_partition(struct call *call, struct fake_partition *partition)
{
    u16 status;

    if (partition->state != FAKE_CREATED)
        return HV_STATUS_INVALID_PARTITION_STATE;
    status = use_frames(partition, INITIALIZE_FRAMES);
    if (status == HV_STATUS_SUCCESS)
        partition->state = FAKE_ACTIVE;
    return status;
}

static void unmap_pfn(unsigned long pfn)
{
    RULE(frames[pfn].maps > 0);
    frames[pfn].maps--;
}

static void unmap_state_page(void **page)
{
    if (*page)
        unmap_pfn(virt_to_phys(*page) >> HV_PAGE_SHIFT);
    *page = NULL;
}

static void delete_vp_state(struct fake_partition *partition, u32 index)
{
    struct fake_vp *vp = partition->vps[index];

    if (!vp)
        return;
    unmap_state_page((void **)&vp->register_page);
    unmap_state_page((void **)&vp->message);
    kfree(vp);
    partition->vps[index] = NULL;
    partition->used -= CREATE_VP_FRAMES;
}

static u16 finalize_partition(struct call *call, struct fake_partition *partition)
{
    unsigned long gpa;
    void *entry;
    u32 i;

    if (partition->state != FAKE_ACTIVE)
        return HV_STATUS_INVALID_PARTITION_STATE;
    for (i = 0; i < FAKE_VPS; i++)
        delete_vp_state(partition, i);
    xa_for_each(&partition->gpa, gpa, entry) unmap_pfn(xa_to_value(entry) >> 4);
    xa_destroy(&partition->gpa);
    partition->mapped_pages = 0;
    partition->used = 0;
    partition->state = FAKE_FINALIZED;
    return HV_STATUS_SUCCESS;
}

static u16 delete_partition(struct call *call, struct fake_partition *partition)
{
    if (partition->state == FAKE_ACTIVE || partition->deposited)
        return HV_STATUS_INVALID_PARTITION_STATE;
    partition->state = FAKE_UNUSED;
    return HV_STATUS_SUCCESS;
}

static const struct {
    u32 code;
    u64 value;
} fixed_properties[] = {
    {HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0, 0x1234},
    {HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1, 0x2   },
    {HV_PARTITION_PROPERTY_XSAVE_STATES,        0x7   },
    {HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE, 2696  },
    {HV_PARTITION_PROPERTY_PROCESSOR_VENDOR,    0     },
};

static u16 get_property(struct call *call, struct fake_partition *partition)
{
    struct hv_input_get_partition_property *input = call->input;
    u64 *output = call->output;
    unsigned int i;

    if (!output)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    for (i = 0; i < ARRAY_SIZE(fixed_properties); i++)
        if (fixed_properties[i].code == input->property_code) {
            *output = fixed_properties[i].value;
            return HV_STATUS_SUCCESS;
        }
    for (i = 0; i < FAKE_PROPERTIES; i++)
        if (partition->property[i].code == input->property_code) {
            *output = partition->property[i].value;
            return HV_STATUS_SUCCESS;
        }
    return HV_STATUS_UNKNOWN_PROPERTY;
}

static u16 set_property(struct call *call, struct fake_partition *partition)
{
    struct hv_input_set_partition_property *input = call->input;
    unsigned int i;

    for (i = 0; i < FAKE_PROPERTIES; i++)
        if (!partition->property[i].code || partition->property[i].code == input->property_code) {
            partition->property[i].code = input->property_code;
            partition->property[i].value = input->property_value;
            return HV_STATUS_SUCCESS;
        }
    return HV_STATUS_NO_RESOURCES;
}

static u16 deposit_memory(struct call *call, struct fake_partition *partition)
{
    struct hv_input_deposit_memory *input = call->input;
    u64 pfn = input->pfn[call->done];

    if (!RULE(pfn > 0 && pfn < FRAMES) || !RULE(!frames[pfn].owner) || !RULE(!frames[pfn].maps))
        return HV_STATUS_INVALID_PARAMETER;
    frames[pfn].owner = owner_of(partition);
    frames[pfn].next = partition->first_free;
    partition->first_free = pfn;
    partition->deposited++;
    memset(page_address(pfn_to_page(pfn)), DEPOSIT_PATTERN, HV_PAGE_SIZE);
    return HV_STATUS_SUCCESS;
}

static u16 withdraw_memory(struct call *call, struct fake_partition *partition)
{
    u64 *output = call->output;
    u32 pfn = partition->first_free;
    void *page;

    if (partition->deposited <= partition->used)
        return HV_STATUS_NO_RESOURCES;
    page = page_address(pfn_to_page(pfn));
    RULE(!memchr_inv(page, DEPOSIT_PATTERN, HV_PAGE_SIZE)); /* nobody wrote to what was lent */
    memset(page, 0, HV_PAGE_SIZE);
    partition->first_free = frames[pfn].next;
    partition->deposited--;
    frames[pfn].owner = 0;
    output[call->done] = pfn;
    return HV_STATUS_SUCCESS;
}

static u16 map_page(struct fake_partition *partition, u64 gpa, u64 pfn, u32 flags)
{
    void *old;

    if (!RULE(pfn > 0 && pfn < FRAMES) || !RULE(!frames[pfn].owner))
        return HV_STATUS_INVALID_PARAMETER;
    if (partition->mappings % MAPPINGS_PER_TABLE == 0 && use_frames(partition, 1) != HV_STATUS_SUCCESS)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    old = xa_store(&partition->gpa, gpa, xa_mk_value(pfn << 4 | (flags & HV_MAP_GPA_PERMISSIONS_MASK)),
                   GFP_ATOMIC);
    if (xa_is_err(old))
        return HV_STATUS_OPERATION_FAILED;
    RULE(!old); /* regions do not overlap */
    frames[pfn].maps++;
    partition->mappings++;
    partition->mapped_pages++;
    return HV_STATUS_SUCCESS;
}

static u16 map_gpa_pages(struct call *call, struct fake_partition *partition)
{
    struct hv_input_map_gpa_pages *input = call->input;
    bool large = input->flags & HV_MAP_GPA_LARGE_PAGE;
    u32 pages = large ? HV_PAGES_PER_LARGE_PAGE : 1, i;
    u64 gpa = input->target_pfn + (u64)call->done * pages;
    u64 pfn = input->source_pfn[call->done];

    if (partition->state != FAKE_ACTIVE)
        return HV_STATUS_INVALID_PARTITION_STATE;
    if (large && (!RULE(gpa % HV_PAGES_PER_LARGE_PAGE == 0) || !RULE(pfn % HV_PAGES_PER_LARGE_PAGE == 0)))
        return HV_STATUS_INVALID_PARAMETER;
    if (!RULE(input->flags & HV_MAP_GPA_READABLE))
        return HV_STATUS_INVALID_PARAMETER;
    for (i = 0; i < pages; i++) {
        u16 status = map_page(partition, gpa + i, pfn + i, input->flags);

        if (status != HV_STATUS_SUCCESS) {
            while (i--) {
                unmap_pfn(pfn + i);
                xa_erase(&partition->gpa, gpa + i);
                partition->mapped_pages--;
            }
            return status;
        }
    }
    return HV_STATUS_SUCCESS;
}

static u16 unmap_gpa_pages(struct call *call, struct fake_partition *partition)
{
    struct hv_input_unmap_gpa_pages *input = call->input;
    u32 pages = input->flags & HV_UNMAP_GPA_LARGE_PAGE ? HV_PAGES_PER_LARGE_PAGE : 1, i;
    u64 gpa = input->target_pfn + (u64)call->done * pages;

    if (partition->state != FAKE_ACTIVE)
        return HV_STATUS_INVALID_PARTITION_STATE;
    for (i = 0; i < pages; i++) {
        void *entry = xa_erase(&partition->gpa, gpa + i);

        if (entry) {
            unmap_pfn(xa_to_value(entry) >> 4);
            partition->mapped_pages--;
        }
    }
    return HV_STATUS_SUCCESS;
}

static u8 change_mark(struct fake_partition *partition, u64 gpa, xa_mark_t mark, bool clear, bool set)
{
    bool before = xa_get_mark(&partition->gpa, gpa, mark);

    if (clear)
        xa_clear_mark(&partition->gpa, gpa, mark);
    if (set)
        xa_set_mark(&partition->gpa, gpa, mark);
    return before;
}

static u16 get_gpa_pages_access_states(struct call *call, struct fake_partition *partition)
{
    struct hv_input_get_gpa_pages_access_states *input = call->input;
    u64 gpa = input->base_pfn + call->done, flags = input->flags;
    u8 *output = call->output;

    if (partition->state != FAKE_ACTIVE)
        return HV_STATUS_INVALID_PARTITION_STATE;
    if (!RULE(output) || flags & ~15ull || (flags & 3) == 3 || (flags & 12) == 12)
        return HV_STATUS_INVALID_PARAMETER;
    if (flags && !partition->tracks && use_frames(partition, 1) != HV_STATUS_SUCCESS)
        return HV_STATUS_INSUFFICIENT_MEMORY;
    partition->tracks |= flags != 0;
    output[call->done] = 0;
    if (change_mark(partition, gpa, FAKE_ACCESSED, flags & HV_GPA_PAGES_CLEAR_ACCESSED,
                    flags & HV_GPA_PAGES_SET_ACCESSED))
        output[call->done] |= HV_GPA_PAGE_ACCESSED;
    if (change_mark(partition, gpa, FAKE_DIRTY, flags & HV_GPA_PAGES_CLEAR_DIRTY, flags & HV_GPA_PAGES_SET_DIRTY))
        output[call->done] |= HV_GPA_PAGE_DIRTY;
    return HV_STATUS_SUCCESS;
}

static u16 create_vp(struct call *call, struct fake_partition *partition)
{
    struct hv_input_create_vp *input = call->input;
    struct fake_vp *vp;
    u16 status;

    if (partition->state != FAKE_ACTIVE)
        return HV_STATUS_INVALID_PARTITION_STATE;
    if (input->vp_index >= FAKE_VPS || partition->vps[input->vp_index])
        return HV_STATUS_INVALID_VP_INDEX;
    status = use_frames(partition, CREATE_VP_FRAMES);
    if (status != HV_STATUS_SUCCESS)
        return status;
    vp = kzalloc(sizeof(*vp), GFP_ATOMIC);
    if (!vp)
        return HV_STATUS_OPERATION_FAILED;
    vp->waits_for_startup = input->vp_index != 0;
    vp->segment[1] = (struct hv_x64_segment_register){.base = 0xFFFF0000, .selector = 0xF000};
    vp->rip = 0xFFF0;
    vp->rflags = 2;
    vp->deadline = LOAM_NO_DEADLINE;
    vp->told_deadline = LOAM_NO_DEADLINE;
    memset(vp->lapic, 0x11 * (input->vp_index + 1), sizeof(vp->lapic));
    partition->vps[input->vp_index] = vp;
    return HV_STATUS_SUCCESS;
}

static struct fake_vp *find_vp(struct fake_partition *partition, u32 index)
{
    return index < FAKE_VPS ? partition->vps[index] : NULL;
}

static u16 delete_vp(struct call *call, struct fake_partition *partition)
{
    u32 index = call->second;

    if (!find_vp(partition, index))
        return HV_STATUS_INVALID_VP_INDEX;
    delete_vp_state(partition, index);
    return HV_STATUS_SUCCESS;
}

static void **state_page(struct fake_vp *vp, u16 type)
{
    switch (type) {
    case HV_VP_STATE_PAGE_REGISTERS:
        return (void **)&vp->register_page;
    case HV_VP_STATE_PAGE_INTERCEPT_MESSAGE:
        return (void **)&vp->message;
    default:
        return NULL;
    }
}

static u16 map_vp_state_page(struct call *call, struct fake_partition *partition)
{
    struct hv_input_map_vp_state_page *input = call->input;
    struct fake_vp *vp = find_vp(partition, input->vp_index);
    void **page = vp ? state_page(vp, input->type) : NULL;

    if (!vp)
        return HV_STATUS_INVALID_VP_INDEX;
    if (!RULE(page && !*page) || !RULE(input->flags == HV_MAP_VP_STATE_PAGE_LOCATION_PROVIDED) ||
        !RULE(input->requested_pfn < FRAMES) || !RULE(!frames[input->requested_pfn].owner))
        return HV_STATUS_INVALID_PARAMETER;
    frames[input->requested_pfn].maps++;
    *page = page_address(pfn_to_page(input->requested_pfn));
    return HV_STATUS_SUCCESS;
}

static u16 unmap_vp_state_page(struct call *call, struct fake_partition *partition)
{
    struct hv_input_unmap_vp_state_page *input = call->input;
    struct fake_vp *vp = find_vp(partition, input->vp_index);
    void **page = vp ? state_page(vp, input->type) : NULL;

    if (!vp)
        return HV_STATUS_INVALID_VP_INDEX;
    if (!page)
        return HV_STATUS_INVALID_PARAMETER;
    unmap_state_page(page);
    return HV_STATUS_SUCCESS;
}

/* Where a register is kept; NULL: unknown. */
static void *register_location(struct fake_vp *vp, u32 name, size_t *size)
{
    *size = sizeof(u64);
    if (name >= HV_X64_REGISTER_RAX && name <= HV_X64_REGISTER_R15)
        return &vp->gpr[name - HV_X64_REGISTER_RAX];
    if (name == HV_X64_REGISTER_RIP)
        return &vp->rip;
    if (name == HV_X64_REGISTER_RFLAGS)
        return &vp->rflags;
    if (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR) {
        *size = sizeof(struct hv_x64_segment_register);
        return &vp->segment[name - HV_X64_REGISTER_ES];
    }
    return NULL;
}

static u16 get_vp_registers(struct call *call, struct fake_partition *partition)
{
    struct hv_input_get_vp_registers *input = call->input;
    union hv_register_value *output = call->output;
    struct fake_vp *vp = find_vp(partition, input->vp_index);
    size_t size;
    void *location;

    if (!vp)
        return HV_STATUS_INVALID_VP_INDEX;
    if (!output)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    location = register_location(vp, input->names[call->done], &size);
    if (!location)
        return HV_STATUS_INVALID_PARAMETER;
    fake_guest_load_page(vp);
    output[call->done] = (union hv_register_value){};
    memcpy(&output[call->done], location, size);
    return HV_STATUS_SUCCESS;
}

static u16 set_vp_registers(struct call *call, struct fake_partition *partition)
{
    struct hv_input_set_vp_registers *input = call->input;
    struct hv_register_assoc *element = &input->elements[call->done];
    struct fake_vp *vp = find_vp(partition, input->vp_index);
    size_t size;
    void *location;

    if (!vp)
        return HV_STATUS_INVALID_VP_INDEX;
    if (element->name == HV_REGISTER_INTERNAL_ACTIVITY_STATE) {
        vp->waits_for_startup = element->value.low & HV_ACTIVITY_STARTUP_SUSPEND;
        vp->halted = element->value.low & HV_ACTIVITY_HALT_SUSPEND;
        return HV_STATUS_SUCCESS;
    }
    location = register_location(vp, element->name, &size);
    if (!location)
        return HV_STATUS_INVALID_PARAMETER;
    fake_guest_load_page(vp);
    memcpy(location, &element->value, size);
    if (vp->register_page && vp->register_page->isvalid)
        fake_guest_store_page(vp);
    return HV_STATUS_SUCCESS;
}

static u16 assert_virtual_interrupt(struct call *call, struct fake_partition *partition)
{
    struct hv_input_assert_virtual_interrupt *input = call->input;
    struct loam_output_assert_virtual_interrupt *output = call->output;

    if (!RULE(output))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    *output = (struct loam_output_assert_virtual_interrupt){};
    if (input->vector < 16 || input->vector > 255 || !find_vp(partition, input->destination))
        return HV_STATUS_INVALID_PARAMETER;
    fake_guest_interrupt(partition, input->destination, input->vector, &output->wake);
    return HV_STATUS_SUCCESS;
}

/* Moves min(size, what the pages hold) bytes between `state` and the parent's pages. */
static u16 move_state(struct call *call, void *state, size_t size)
{
    struct hv_input_vp_state *input = call->input;
    void *page;

    if (!RULE(call->variable >= 1) || !RULE(input->pfn[0] < FRAMES) || !RULE(!frames[input->pfn[0]].owner))
        return HV_STATUS_INVALID_PARAMETER;
    page = page_address(pfn_to_page(input->pfn[0]));
    if (call->code == HVCALL_SET_VP_STATE)
        memcpy(state, page, size);
    else
        memcpy(page, state, size);
    return HV_STATUS_SUCCESS;
}

static u16 vp_state(struct call *call, struct fake_partition *partition)
{
    struct hv_input_vp_state *input = call->input;
    struct fake_vp *vp = find_vp(partition, input->vp_index);

    if (!vp)
        return HV_STATUS_INVALID_VP_INDEX;
    switch (input->type) {
    case HV_VP_STATE_LAPIC:
        return move_state(call, vp->lapic, sizeof(vp->lapic));
    case HV_VP_STATE_XSAVE:
        return RULE(input->xsave_states == 7) ? move_state(call, vp->xsave, sizeof(vp->xsave))
                                              : HV_STATUS_INVALID_PARAMETER;
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

static u16 get_statistics(struct call *call, struct fake_partition *unused)
{
    struct loam_input_get_statistics *input = call->input;
    struct loam_output_get_statistics *output = call->output;
    struct fake_partition *partition =
        input->partition_id == HV_PARTITION_ID_SELF ? &parent : find_partition(input->partition_id);
    unsigned int i;

    *output = (struct loam_output_get_statistics){};
    if (input->type == LOAM_STATISTICS_HYPERVISOR) {
        output->count = LOAM_HYPERVISOR_COUNTER_COUNT;
        output->counter[LOAM_COUNTER_PARTITIONS] = 1;
        for (i = 0; i < FAKE_PARTITIONS; i++) {
            output->counter[LOAM_COUNTER_PARTITIONS] += partitions[i].state != FAKE_UNUSED;
            output->counter[LOAM_COUNTER_DEPOSITED_PAGES] += partitions[i].deposited;
        }
        output->counter[LOAM_COUNTER_DEPOSITED_PAGES] += parent.deposited;
        return HV_STATUS_SUCCESS;
    }
    if (input->type != LOAM_STATISTICS_PARTITION)
        return HV_STATUS_INVALID_PARAMETER;
    output->count = LOAM_PARTITION_COUNTER_COUNT;
    if (input->partition_id == HV_PARTITION_ID_SELF) {
        output->counter[LOAM_PARTITION_DEPOSITED_PAGES] = parent.deposited;
        return HV_STATUS_SUCCESS;
    }
    if (!partition)
        return HV_STATUS_INVALID_PARTITION_ID;
    output->counter[LOAM_PARTITION_DEPOSITED_PAGES] = partition->deposited;
    output->counter[LOAM_PARTITION_FREE_PAGES] = partition->deposited - partition->used;
    output->counter[LOAM_PARTITION_MAPPED_PAGES] = partition->mapped_pages;
    for (i = 0; i < FAKE_VPS; i++)
        output->counter[LOAM_PARTITION_VPS] += partition->vps[i] != NULL;
    return HV_STATUS_SUCCESS;
}

static u16 read_log(struct call *call, struct fake_partition *unused)
{
    struct loam_input_read_log *input = call->input;
    struct loam_output_read_log *output = call->output;
    u32 line = input->position / LOG_LINE_SIZE, skip = input->position % LOG_LINE_SIZE, size;
    char text[LOG_LINE_SIZE + 1];

    if (!RULE(input->size <= LOAM_LOG_CHUNK))
        return HV_STATUS_INVALID_PARAMETER;
    *output = (struct loam_output_read_log){.position = input->position, .end = LOG_LINES * LOG_LINE_SIZE};
    for (; line < LOG_LINES && output->size < input->size; line++, skip = 0) {
        snprintf(text, sizeof(text), LOG_LINE, line);
        size = min(LOG_LINE_SIZE - skip, input->size - output->size);
        memcpy(output->text + output->size, text + skip, size);
        output->size += size;
    }
    return HV_STATUS_SUCCESS;
}

static u16 reclaim_children(struct call *call, struct fake_partition *unused)
{
    struct loam_output_reclaim *output = call->output;
    unsigned int i;

    *output = (struct loam_output_reclaim){.partitions = stale, .pages = (u64)stale * 512};
    stale = 0;
    for (i = 0; i < FAKE_PARTITIONS; i++) {
        struct fake_partition *partition = &partitions[i];

        if (partition->state == FAKE_UNUSED)
            continue;
        finalize_partition(call, partition);
        output->partitions++;
        output->pages += partition->deposited;
        for (; partition->deposited; partition->deposited--) {
            frames[partition->first_free].owner = 0;
            partition->first_free = frames[partition->first_free].next;
        }
        partition->state = FAKE_UNUSED;
    }
    pr_info("reclaimed %u partitions and %llu pages\n", output->partitions, output->pages);
    return HV_STATUS_SUCCESS;
}

struct definition {
    u16 code;
    bool rep;
    bool names_partition; /* the input begins with the id of a child */
    bool fast;
    u16 (*handler)(struct call *call, struct fake_partition *partition);
};

static u16 create_partition_handler(struct call *call, struct fake_partition *unused)
{
    return create_partition(call);
}

static const struct definition definitions[] = {
    {HVCALL_CREATE_PARTITION,            false, false, false, create_partition_handler   },
    {HVCALL_INITIALIZE_PARTITION,        false, true,  true,  initialize_partition       },
    {HVCALL_FINALIZE_PARTITION,          false, true,  true,  finalize_partition         },
    {HVCALL_DELETE_PARTITION,            false, true,  true,  delete_partition           },
    {HVCALL_GET_PARTITION_PROPERTY,      false, true,  false, get_property               },
    {HVCALL_SET_PARTITION_PROPERTY,      false, true,  false, set_property               },
    {HVCALL_DEPOSIT_MEMORY,              true,  true,  false, deposit_memory             },
    {HVCALL_WITHDRAW_MEMORY,             true,  true,  false, withdraw_memory            },
    {HVCALL_MAP_GPA_PAGES,               true,  true,  false, map_gpa_pages              },
    {HVCALL_UNMAP_GPA_PAGES,             true,  true,  false, unmap_gpa_pages            },
    {HVCALL_GET_GPA_PAGES_ACCESS_STATES, true,  true,  false, get_gpa_pages_access_states},
    {HVCALL_CREATE_VP,                   false, true,  false, create_vp                  },
    {HVCALL_DELETE_VP,                   false, true,  true,  delete_vp                  },
    {HVCALL_GET_VP_REGISTERS,            true,  true,  false, get_vp_registers           },
    {HVCALL_SET_VP_REGISTERS,            true,  true,  false, set_vp_registers           },
    {HVCALL_ASSERT_VIRTUAL_INTERRUPT,    false, true,  false, assert_virtual_interrupt   },
    {HVCALL_MAP_VP_STATE_PAGE,           false, true,  false, map_vp_state_page          },
    {HVCALL_UNMAP_VP_STATE_PAGE,         false, true,  false, unmap_vp_state_page        },
    {HVCALL_GET_VP_STATE,                false, true,  false, vp_state                   },
    {HVCALL_SET_VP_STATE,                false, true,  false, vp_state                   },
    {LOAM_HVCALL_GET_STATISTICS,         false, false, false, get_statistics             },
    {LOAM_HVCALL_READ_LOG,               false, false, false, read_log                   },
    {LOAM_HVCALL_RECLAIM_CHILDREN,       false, false, false, reclaim_children           },
};

static bool asks_for_memory(u16 status)
{
    return status == HV_STATUS_INSUFFICIENT_MEMORY || status == HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY ||
           status == HV_STATUS_INSUFFICIENT_ROOT_MEMORY ||
           status == HV_STATUS_INSUFFICIENT_CONTIGUOUS_ROOT_MEMORY;
}

/*
 * Whether this call is made to fail. Those that take a VM apart never fail in a hypervisor that works, and a
 * deposit does not ask for memory.
 */
static bool fails(u16 code)
{
    if (code == HVCALL_WITHDRAW_MEMORY || code == HVCALL_FINALIZE_PARTITION ||
        code == HVCALL_DELETE_PARTITION || code == LOAM_HVCALL_RECLAIM_CHILDREN ||
        code == LOAM_HVCALL_GET_STATISTICS)
        return false;
    if (code == HVCALL_DEPOSIT_MEMORY && asks_for_memory(fail_status))
        return false;
    if (fail_call > 0)
        fail_call--;
    else
        return false;
    if (fail_call > 0 || fail_count <= 0)
        return false;
    /* stays at 1 until all have failed, and is then 0 */
    fail_count--;
    fail_call = fail_count > 0;
    return true;
}

static bool address_is_sound(u64 address)
{
    return address % 8 == 0 && address >> HV_PAGE_SHIFT < FRAMES && !frames[address >> HV_PAGE_SHIFT].owner;
}

static u16 execute(struct call *call)
{
    const struct definition *definition = NULL;
    struct fake_partition *partition = NULL;
    unsigned int i, done = 0;
    u16 status;
    u64 id;

    for (i = 0; i < ARRAY_SIZE(definitions) && !definition; i++)
        if (definitions[i].code == call->code)
            definition = &definitions[i];
    if (!definition)
        return HV_STATUS_INVALID_HYPERCALL_CODE;
    if (definition->rep != (call->reps != 0) || (call->reps && call->start >= call->reps) ||
        !RULE(call->fast == definition->fast))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    if (fails(call->code))
        return fail_status;
    id = call->fast ? call->first : *(u64 *)call->input;
    if (definition->names_partition && id != HV_PARTITION_ID_SELF) {
        partition = find_partition(id);
        if (!partition)
            return HV_STATUS_INVALID_PARTITION_ID;
    } else if (definition->names_partition) {
        if (call->code != HVCALL_GET_PARTITION_PROPERTY && call->code != HVCALL_DEPOSIT_MEMORY &&
            call->code != HVCALL_WITHDRAW_MEMORY)
            return HV_STATUS_ACCESS_DENIED;
        partition = &parent;
    }
    do {
        status = definition->handler(call, partition);
        if (status != HV_STATUS_SUCCESS)
            return status;
        if (call->reps)
            call->done++;
    } while (call->done < call->reps && ++done < rep_limit);
    return HV_STATUS_SUCCESS;
}

static u32 read_local_apic(u32 offset)
{
#ifdef CONFIG_X86_X2APIC
    if (x2apic_enabled())
        return native_apic_msr_read(offset);
#endif
    return native_apic_mem_read(offset);
}

/* Whether this processor has an interrupt to take as soon as it may. */
static bool interrupt_is_pending(void)
{
    u32 irr = 0;
    unsigned int i;

    for (i = 0; i < 8; i++)
        irr |= read_local_apic(APIC_IRR + i * 0x10);
    return irr;
}

/* Without the lock between instructions, so that the other processors get on. */
static u64 dispatch_vp(u64 input_address, u64 output_address)
{
    struct hv_input_dispatch_vp *input = phys_to_virt(input_address);
    struct loam_output_dispatch_vp *output = phys_to_virt(output_address);
    bool entered = false, run_on = true;

    if (!RULE(irqs_disabled()))
        return HV_STATUS_OPERATION_FAILED;
    *output = (struct loam_output_dispatch_vp){};
    while (run_on) {
        struct fake_partition *partition;
        struct fake_vp *vp;

        raw_spin_lock(&fake_lock);
        partition = find_partition(input->partition_id);
        vp = partition ? find_vp(partition, input->vp_index) : NULL;
        if (!vp || (vp->intercept_suspended && !(input->flags & HV_DISPATCH_VP_CLEAR_INTERCEPT_SUSPEND))) {
            raw_spin_unlock(&fake_lock);
            return vp ? HV_STATUS_INVALID_VP_STATE : HV_STATUS_INVALID_PARTITION_ID;
        }
        vp->intercept_suspended = false;
        if (!entered)
            fake_guest_enter(vp);
        entered = true;
        run_on = fake_guest_run(partition, input->vp_index, output);
        raw_spin_unlock(&fake_lock);
        run_on = run_on && !interrupt_is_pending();
    }
    return HV_STATUS_SUCCESS;
}

u64 hypervisor_call(u64 control, u64 first, u64 second)
{
    struct call call = {
        .code = HV_CONTROL_CODE(control),
        .reps = HV_CONTROL_REP_COUNT(control),
        .start = HV_CONTROL_REP_START(control),
        .done = HV_CONTROL_REP_START(control),
        .variable = HV_CONTROL_VARIABLE_HEADER(control),
        .fast = control & HV_CONTROL_FAST,
        .first = first,
        .second = second,
    };
    unsigned long flags;
    u16 status;

    if (!RULE(!(control & HV_CONTROL_RESERVED)))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    if (!call.fast) {
        if (!RULE(address_is_sound(first)) || !RULE(address_is_sound(second)))
            return HV_STATUS_INVALID_ALIGNMENT;
        call.input = phys_to_virt(first);
        call.output = second ? phys_to_virt(second) : NULL;
    }
    if (call.code == HVCALL_DISPATCH_VP)
        return dispatch_vp(first, second);
    raw_spin_lock_irqsave(&fake_lock, flags);
    status = execute(&call);
    raw_spin_unlock_irqrestore(&fake_lock, flags);
    return status | (u64)call.done << HV_RESULT_REPS_SHIFT;
}
