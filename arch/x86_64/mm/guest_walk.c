/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/mm/guest_walk.h"
#include "arch/x86_64/mm/physical.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "kernel/arch.h"
#include "kernel/frame.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define MEMORY_TYPE_WRITE_BACK 6u

struct paging {
    uint64_t cr0, cr3, cr4, efer;
    unsigned levels; /* 0: no paging */
    bool wide;       /* 8-byte entries */
};

/* What a walk found; permissions are the conjunction over all levels. */
struct walk {
    enum hv_translate_gva_result_code result;
    uint64_t gpa; /* of the operand; of the table entry that could not be read */
    bool writable, user, no_execute;
    unsigned depth; /* entries read */
    uint64_t *entry[GUEST_WALK_LEVELS];
    uint64_t value[GUEST_WALK_LEVELS];
    uint64_t entry_gpa[GUEST_WALK_LEVELS];
    bool table_writable[GUEST_WALK_LEVELS]; /* in the nested map */
};

static void get_paging(const struct vp *vp, struct paging *paging)
{
    paging->cr0 = vendor->get(vp, VP_CR0);
    paging->cr3 = vendor->get(vp, VP_CR3);
    paging->cr4 = vendor->get(vp, VP_CR4);
    paging->efer = vendor->get(vp, VP_EFER);
    paging->wide = (paging->cr4 & CR4_PAE) != 0;
    if ((paging->cr0 & CR0_PG) == 0)
        paging->levels = 0;
    else if ((paging->efer & EFER_LMA) != 0)
        paging->levels = (paging->cr4 & CR4_LA57) != 0 ? 5 : 4;
    else
        paging->levels = paging->wide ? 3 : 2;
}

static unsigned index_bits(const struct paging *paging)
{
    return paging->wide ? 9 : 10;
}

static bool is_pae_pointer(const struct paging *paging, unsigned level)
{
    return paging->levels == 3 && level == 3;
}

static bool is_leaf(const struct paging *paging, unsigned level, uint64_t entry)
{
    if (level == 1)
        return true;
    if ((entry & PTE_LARGE) == 0)
        return false;
    if (!paging->wide)
        return (paging->cr4 & CR4_PSE) != 0;
    return level == 2 || (level == 3 && paging->levels > 3);
}

/* Bits lowest..highest, inclusive. */
static uint64_t bit_range(unsigned highest, unsigned lowest)
{
    return highest < lowest ? 0 : (~0ull >> (63 - highest)) & (~0ull << lowest);
}

static uint64_t reserved_bits(const struct paging *paging, unsigned level, uint64_t entry)
{
    unsigned address_bits = arch_physical_address_bits();
    bool leaf = is_leaf(paging, level, entry);
    if (!paging->wide) {
        if (!leaf || level == 1)
            return 0;
        /* PSE-36: bits 20:13 are address bits 39:32, as many as the processor has. */
        unsigned high = address_bits > 40 ? 40 : address_bits;
        return bit_range(21, high - 32 + 13);
    }
    uint64_t reserved = bit_range(51, address_bits);
    if (is_pae_pointer(paging, level))
        return reserved | bit_range(63, 52) | 0x1E6;
    if (paging->levels == 3)
        reserved |= bit_range(62, 52);
    if ((paging->efer & EFER_NXE) == 0)
        reserved |= PTE_NO_EXECUTE;
    if (leaf && level > 1)
        reserved |= bit_range(12 + 9 * (level - 1) - 1, 13);
    if (level > 3)
        reserved |= PTE_LARGE;
    return reserved;
}

static uint64_t leaf_address(const struct paging *paging, unsigned level, uint64_t entry, uint64_t gva)
{
    unsigned shift = 12 + index_bits(paging) * (level - 1);
    uint64_t offset = gva & bit_range(shift - 1, 0);
    if (paging->wide)
        return (entry & bit_range(51, shift)) | offset;
    uint64_t address = entry & bit_range(31, shift);
    if (level == 2)
        address |= (entry & bit_range(20, 13)) << (32 - 13);
    return address | offset;
}

static uint64_t load_entry(const void *entry, bool wide)
{
    return wide ? __atomic_load_n((const uint64_t *)entry, __ATOMIC_RELAXED)
                : __atomic_load_n((const uint32_t *)entry, __ATOMIC_RELAXED);
}

static bool canonical(const struct paging *paging, uint64_t gva)
{
    unsigned bits = paging->levels == 5 ? 57 : 48;
    return (uint64_t)((int64_t)(gva << (64 - bits)) >> (64 - bits)) == gva;
}

/*
 * As nested_lookup. The parent's map is the identity, and its tables may be in the middle of a change: what counts is
 * whose the page is. Never registers, to which that map leads, too: the parent's page tables may name any address.
 */
static bool find_memory(const struct vp *vp, uint64_t gpa, struct nested_translation *nested)
{
    const struct frame *frame;

    if (!vp->is_parent)
        return nested_lookup(&vp->partition->map, gpa, nested);
    frame = frame_find(gpa >> HV_PAGE_SHIFT);
    if (frame ? !frame_is_parents(frame) : !physical_is_memory(gpa))
        return false;
    *nested = (struct nested_translation){
        .spa = gpa,
        .access = HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE,
        .page_shift = HV_PAGE_SHIFT,
    };
    return true;
}

/* A non-canonical address is reported like one that no table maps. Between guest_memory_begin and _end. */
static void walk_tables(struct vp *vp, const struct paging *paging, uint64_t gva, struct walk *walk)
{
    *walk = (struct walk){.result = HV_TRANSLATE_GVA_SUCCESS, .writable = true, .user = true};
    if (paging->levels < 4)
        gva &= 0xFFFFFFFF;
    else if (!canonical(paging, gva)) {
        walk->result = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
        return;
    }
    if (paging->levels == 0) {
        walk->gpa = gva;
        return;
    }

    uint64_t table = paging->cr3 & (paging->levels == 3 ? 0xFFFFFFE0 : paging->wide ? bit_range(51, 12) : 0xFFFFF000);
    for (unsigned level = paging->levels;; level--) {
        uint64_t index = gva >> (12 + index_bits(paging) * (level - 1)) & bit_range(index_bits(paging) - 1, 0);
        struct nested_translation nested;
        uint64_t entry_gpa = table + index * (paging->wide ? 8 : 4);
        bool mapped = find_memory(vp, entry_gpa, &nested);
        if (!mapped || (nested.access & HV_MAP_GPA_READABLE) == 0) {
            walk->result = mapped ? HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS : HV_TRANSLATE_GVA_GPA_UNMAPPED;
            walk->gpa = entry_gpa;
            return;
        }
        uint64_t *pointer = physical_pointer(nested.spa);
        uint64_t entry = load_entry(pointer, paging->wide);
        walk->entry[walk->depth] = pointer;
        walk->value[walk->depth] = entry;
        walk->entry_gpa[walk->depth] = entry_gpa;
        walk->table_writable[walk->depth++] = (nested.access & HV_MAP_GPA_WRITABLE) != 0;
        if ((entry & PTE_PRESENT) == 0) {
            walk->result = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
            return;
        }
        if ((entry & reserved_bits(paging, level, entry)) != 0) {
            walk->result = HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
            return;
        }
        if (!is_pae_pointer(paging, level)) {
            walk->writable &= (entry & PTE_WRITABLE) != 0;
            walk->user &= (entry & PTE_USER) != 0;
            walk->no_execute |= paging->wide && (entry & PTE_NO_EXECUTE) != 0;
        }
        if (is_leaf(paging, level, entry)) {
            walk->gpa = leaf_address(paging, level, entry, gva);
            return;
        }
        table = entry & (paging->wide ? bit_range(51, 12) : 0xFFFFF000);
    }
}

unsigned guest_privilege_level(const struct vp *vp)
{
    struct hv_x64_segment_register ss;
    if ((vp->rflags & RFLAGS_VM) != 0)
        return 3;
    vendor->get_segment(vp, VP_SS, &ss);
    return ss.attributes >> HV_SEGMENT_DPL_SHIFT & 3;
}

/* True: the access is made with user privilege. */
static bool is_user_access(const struct vp *vp, uint64_t access)
{
    if ((access & (HV_TRANSLATE_SUPERVISOR_ACCESS | HV_TRANSLATE_PRIVILEGE_EXEMPT)) != 0)
        return false;
    return (access & HV_TRANSLATE_USER_ACCESS) != 0 || guest_privilege_level(vp) == 3;
}

/*
 * SMAP holds for implicit supervisor accesses (made at CPL 3) always, for explicit ones unless RFLAGS.AC is
 * set.
 */
static bool smap_applies(const struct vp *vp, const struct paging *paging, uint64_t access)
{
    if ((paging->cr4 & CR4_SMAP) == 0 || (access & HV_TRANSLATE_OVERRIDE_SMAP) != 0)
        return false;
    return (access & HV_TRANSLATE_ENFORCE_SMAP) != 0 || (vp->rflags & RFLAGS_AC) == 0 || guest_privilege_level(vp) == 3;
}

static bool permitted(const struct vp *vp, const struct paging *paging, const struct walk *walk, uint64_t access)
{
    bool write = (access & HV_TRANSLATE_VALIDATE_WRITE) != 0;
    bool execute = (access & HV_TRANSLATE_VALIDATE_EXECUTE) != 0;
    bool data = write || (access & HV_TRANSLATE_VALIDATE_READ) != 0;
    bool user = is_user_access(vp, access);
    bool exempt = (access & HV_TRANSLATE_PRIVILEGE_EXEMPT) != 0;

    if (paging->levels == 0)
        return true;
    if (execute && walk->no_execute)
        return false;
    if (write && !walk->writable && (user || (paging->cr0 & CR0_WP) != 0))
        return false;
    if (user)
        return walk->user || !(data || execute);
    if (exempt || !walk->user)
        return true;
    if (execute && (paging->cr4 & CR4_SMEP) != 0)
        return false;
    return !(data && smap_applies(vp, paging, access));
}

/* Sets accessed and dirty bits as the processor would. False: a table is not writable in the nested map. */
static bool set_bits(const struct vp *vp, const struct paging *paging, const struct walk *walk, bool dirty)
{
    for (unsigned i = 0; i < walk->depth; i++) {
        if (is_pae_pointer(paging, paging->levels - i))
            continue;
        uint64_t bits = PTE_ACCESSED | (dirty && i == walk->depth - 1 ? PTE_DIRTY : 0);
        if ((walk->value[i] & bits) == bits)
            continue;
        if (!walk->table_writable[i])
            return false;
        if (paging->wide)
            __atomic_fetch_or(walk->entry[i], bits, __ATOMIC_RELAXED);
        else
            __atomic_fetch_or((uint32_t *)walk->entry[i], (uint32_t)bits, __ATOMIC_RELAXED);
        nested_set_dirty(&vp->partition->map, walk->entry_gpa[i]);
    }
    return true;
}

/*
 * The whole way to memory; *nested is filled with SUCCESS, *gpa also with the results that are about the GPA.
 */
static enum hv_translate_gva_result_code translate(struct vp *vp, const struct paging *paging, uint64_t gva,
                                                   uint64_t access, uint64_t *gpa, struct nested_translation *nested)
{
    bool write = (access & HV_TRANSLATE_VALIDATE_WRITE) != 0;
    struct walk walk;
    walk_tables(vp, paging, gva, &walk);
    *gpa = walk.gpa;
    if (walk.result != HV_TRANSLATE_GVA_SUCCESS)
        return walk.result;
    if (!permitted(vp, paging, &walk, access))
        return HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION;
    if ((access & HV_TRANSLATE_SET_PAGE_TABLE_BITS) != 0 && !set_bits(vp, paging, &walk, write))
        return HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;
    if (!find_memory(vp, walk.gpa, nested))
        return HV_TRANSLATE_GVA_GPA_UNMAPPED;
    if ((nested->access & HV_MAP_GPA_READABLE) == 0)
        return HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS;
    if (write && (nested->access & HV_MAP_GPA_WRITABLE) == 0)
        return HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;
    return HV_TRANSLATE_GVA_SUCCESS;
}

void guest_translate(struct vp *vp, uint64_t gva, uint64_t access, struct hv_output_translate_virtual_address *output)
{
    struct paging paging;
    struct nested_translation nested;
    uint64_t gpa = 0;
    get_paging(vp, &paging);
    struct vp *before = guest_memory_begin(vp);
    enum hv_translate_gva_result_code result = translate(vp, &paging, gva, access, &gpa, &nested);
    guest_memory_end(before);
    *output = (struct hv_output_translate_virtual_address){
        .result_code = result,
        .cache_type = MEMORY_TYPE_WRITE_BACK,
        .gpa_page = gpa >> HV_PAGE_SHIFT,
    };
}

size_t guest_read(struct vp *vp, uint64_t gva, void *buffer, size_t length, uint64_t access)
{
    struct paging paging;
    size_t done = 0;
    get_paging(vp, &paging);
    struct vp *before = guest_memory_begin(vp);
    while (done < length) {
        struct nested_translation nested;
        uint64_t gpa;
        if (translate(vp, &paging, gva + done, access, &gpa, &nested) != HV_TRANSLATE_GVA_SUCCESS)
            break;
        size_t part = HV_PAGE_SIZE - (gpa & (HV_PAGE_SIZE - 1));
        if (part > length - done)
            part = length - done;
        memcpy((uint8_t *)buffer + done, physical_pointer(nested.spa), part);
        done += part;
    }
    guest_memory_end(before);
    return done;
}

/* --- code --- */

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

bool guest_code_is(struct vp *vp, const struct guest_code *kept)
{
    struct vp *before = guest_memory_begin(vp);
    bool same =
        kept->map_generation == __atomic_load_n(&vp->partition->map_generation, __ATOMIC_SEQ_CST) &&
        vendor->code_is(vp, &kept->code) && load_entry(kept->entry[0], true) == kept->value[0] &&
        load_entry(kept->entry[1], true) == kept->value[1] && load_entry(kept->entry[2], true) == kept->value[2] &&
        load_entry(kept->entry[3], true) == kept->value[3] && load_entry(kept->entry[4], true) == kept->value[4] &&
        load_word(kept->at) == kept->bytes[0] && load_word(kept->at + 8) == kept->bytes[1];
    guest_memory_end(before);
    return same;
}

/* NULL: the page cannot be read. */
static const uint8_t *walk_to_code(struct vp *vp, const struct paging *paging, uint64_t linear_page, struct walk *walk)
{
    struct nested_translation nested;
    walk_tables(vp, paging, linear_page, walk);
    if (walk->result != HV_TRANSLATE_GVA_SUCCESS || !find_memory(vp, walk->gpa, &nested) ||
        (nested.access & HV_MAP_GPA_READABLE) == 0)
        return NULL;
    return physical_pointer(nested.spa);
}

/* Entries of 4 bytes are not worth their own way of comparing. */
static void keep_walk(const struct walk *walk, const struct paging *paging, const uint8_t *at, struct guest_code *kept)
{
    static const uint64_t none;
    if (!paging->wide && walk->depth > 0)
        return;
    for (unsigned i = 0; i < GUEST_WALK_LEVELS; i++) {
        kept->entry[i] = i < walk->depth ? walk->entry[i] : &none;
        kept->value[i] = i < walk->depth ? walk->value[i] : none;
    }
    kept->at = at;
}

/* Behind the page of a linear address; outside long mode the address space ends at 4 GiB and begins again. */
static uint64_t next_page(const struct vp_code *code, uint64_t linear)
{
    uint64_t next = (linear & ~(uint64_t)(HV_PAGE_SIZE - 1)) + HV_PAGE_SIZE;
    return (code->efer & EFER_LMA) != 0 ? next : (uint32_t)next;
}

size_t guest_read_code(struct vp *vp, const struct vp_code *code, uint64_t linear, uint8_t buffer[GUEST_CODE_BYTES],
                       size_t length, struct guest_code *kept)
{
    size_t offset = linear & (HV_PAGE_SIZE - 1), first = HV_PAGE_SIZE - offset;
    struct vp *before = guest_memory_begin(vp);
    struct paging paging;
    struct walk walk;
    *kept = (struct guest_code){
        .rip = vp->rip,
        .map_generation = __atomic_load_n(&vp->partition->map_generation, __ATOMIC_SEQ_CST),
        .code = *code,
    };
    get_paging(vp, &paging);
    const uint8_t *page = walk_to_code(vp, &paging, linear - offset, &walk);
    if (page == NULL) {
        length = 0;
    } else if (first >= GUEST_CODE_BYTES) {
        memcpy(buffer, page + offset, GUEST_CODE_BYTES);
        memcpy(kept->bytes, buffer, GUEST_CODE_BYTES);
        keep_walk(&walk, &paging, page + offset, kept);
    } else {
        memcpy(buffer, page + offset, first);
        page = length > first ? walk_to_code(vp, &paging, next_page(code, linear), &walk) : NULL;
        if (page != NULL)
            memcpy(buffer + first, page, GUEST_CODE_BYTES - first);
        else if (length > first)
            length = first;
    }
    guest_memory_end(before);
    return length;
}

bool guest_read_pointers(struct vp *vp, uint64_t cr3, uint64_t entries[4])
{
    struct vp *before = guest_memory_begin(vp);
    struct nested_translation nested;
    bool found = find_memory(vp, cr3 & 0xFFFFFFE0u, &nested);

    if (found)
        memcpy(entries, physical_pointer(nested.spa), 4 * sizeof(entries[0]));
    guest_memory_end(before);
    return found;
}
