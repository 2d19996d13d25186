/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/cpuid_result.h"
#include "kernel/hypercall.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

/* HVCALL_GET_VP_CPUID_VALUES: flags */
#define USE_VP_XFEM_XSS  1u
#define APPLY_REGISTERED 2u

#define CPUID_XSAVE 0xDu

/* What an element costs at most, about, in instructions. */
#define CPUID_COST 700u

/* A registered result. They stand sorted by key in pages of the VP, VP_CPUID_RESULTS_PER_PAGE in each. */
struct cpuid_result {
    uint64_t key;      /* leaf << 32, and SUBLEAF_SPECIFIC | subleaf if it is for one subleaf only */
    uint32_t value[4]; /* EAX EBX ECX EDX */
    uint32_t mask[4];
};
HV_ASSERT_SIZE(struct cpuid_result, 40);
_Static_assert(VP_CPUID_RESULTS_PER_PAGE * sizeof(struct cpuid_result) <= HV_PAGE_SIZE, "results in a page");
#define SUBLEAF_SPECIFIC 0x80000000u

static struct cpuid_result *result_at(const struct vp *vp, uint32_t index)
{
    return &vp->cpuid_page[index / VP_CPUID_RESULTS_PER_PAGE][index % VP_CPUID_RESULTS_PER_PAGE];
}

/* The last result with this key or a smaller one; NULL: there is none. */
static const struct cpuid_result *find_last(const struct vp *vp, uint64_t key)
{
    uint32_t left = vp->cpuid_results, page = 0;
    const struct cpuid_result *first;

    while (left > VP_CPUID_RESULTS_PER_PAGE && vp->cpuid_page[page + 1]->key <= key) {
        left -= VP_CPUID_RESULTS_PER_PAGE;
        page++;
    }
    if (left > VP_CPUID_RESULTS_PER_PAGE)
        left = VP_CPUID_RESULTS_PER_PAGE;
    first = vp->cpuid_page[page];
    if (left == 0 || first->key > key)
        return NULL;
    while (left > 1) {
        uint32_t half = left / 2;

        if (first[half].key <= key)
            first += half;
        left -= half;
    }
    return first;
}

/* A result for this very subleaf goes before one for all. */
static const struct cpuid_result *find_result(const struct vp *vp, uint32_t leaf, uint32_t subleaf)
{
    uint64_t any = (uint64_t)leaf << 32, key = any | SUBLEAF_SPECIFIC | subleaf;
    const struct cpuid_result *result = find_last(vp, key);

    if (!result || result->key < any)
        return NULL;
    if (result->key == any || (result->key == key && !(subleaf & SUBLEAF_SPECIFIC)))
        return result;
    result = find_last(vp, any);
    return result && result->key == any ? result : NULL;
}

static void get_default(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t values[4])
{
    child_cpuid_default(vp, leaf, subleaf, values);
    processor_features_apply(vp->partition, leaf, subleaf, values);
}

static void get_registered(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t values[4])
{
    const struct cpuid_result *result = find_result(vp, leaf, subleaf);

    get_default(vp, leaf, subleaf, values);
    for (unsigned i = 0; result && i < 4; i++)
        values[i] = (result->value[i] & result->mask[i]) | (values[i] & ~result->mask[i]);
}

static void __attribute__((noinline)) keep(struct vp *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_kept *kept)
{
    get_registered(vp, leaf, subleaf, kept->values);
    kept->live = child_cpuid_live(vp, leaf, subleaf, kept->values);
    kept->cr4 = vendor->get(vp, VP_CR4);
    kept->apic_base = vp->apic.base;
    kept->leaf = leaf;
    kept->subleaf = subleaf;
    kept->valid = true;
}

const uint32_t *cpuid_get(struct vp *vp, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_kept *kept = &vp->cpuid_kept;

    if (!kept->valid || kept->leaf != leaf || kept->subleaf != subleaf ||
        (kept->live &&
         (leaf == CPUID_XSAVE || kept->apic_base != vp->apic.base || kept->cr4 != vendor->get(vp, VP_CR4))))
        keep(vp, leaf, subleaf, kept);
    return kept->values;
}

/* Room for one more in its place; what stands behind it moves up. NULL: no page for it. Under the partition's lock. */
static struct cpuid_result *insert(struct vp *vp, uint64_t key)
{
    uint32_t at = vp->cpuid_results, page = at / VP_CPUID_RESULTS_PER_PAGE;

    if (!vp->cpuid_page[page]) {
        vp->cpuid_page[page] = partition_page_allocate(vp->partition);
        if (!vp->cpuid_page[page])
            return NULL;
    }
    for (; at > 0 && result_at(vp, at - 1)->key > key; at--)
        *result_at(vp, at) = *result_at(vp, at - 1);
    vp->cpuid_results++;
    return result_at(vp, at);
}

enum hv_status hypercall_register_intercept_result(struct hypercall *call)
{
    const struct hv_input_register_intercept_result *input = call->input;
    uint64_t key = (uint64_t)input->eax << 32 | (input->subleaf_specific ? SUBLEAF_SPECIFIC | input->ecx : 0);
    struct vp *vp = call->vp;
    struct cpuid_result *result;

    if (input->intercept_type != HV_INTERCEPT_TYPE_X64_CPUID || input->subleaf_specific > 1 ||
        input->always_override > 1 || (input->subleaf_specific && (input->ecx & SUBLEAF_SPECIFIC)))
        return HV_STATUS_INVALID_PARAMETER;
    result = (struct cpuid_result *)find_last(vp, key);
    if (!result || result->key != key) {
        if (vp->cpuid_results == VP_CPUID_PAGES * VP_CPUID_RESULTS_PER_PAGE)
            return HV_STATUS_NO_RESOURCES;
        result = insert(vp, key);
        if (!result)
            return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    vp->cpuid_kept.valid = false;
    result->key = key;
    for (unsigned i = 0; i < 4; i++) {
        result->value[i] = input->result[i].value;
        result->mask[i] = input->result[i].mask;
    }
    return HV_STATUS_SUCCESS;
}

static void get_values(struct vp *vp, uint32_t flags, const struct hv_cpuid_leaf_info *leaf, uint32_t values[4])
{
    uint64_t xcr0 = vp->xcr0, xss = vp->xss;

    if (!(flags & USE_VP_XFEM_XSS)) {
        vp->xcr0 = leaf->xfem;
        vp->xss = leaf->xss;
    }
    if (flags & APPLY_REGISTERED) {
        memcpy(values, cpuid_get(vp, leaf->eax, leaf->ecx), sizeof(uint32_t[4]));
    } else {
        get_default(vp, leaf->eax, leaf->ecx, values);
        child_cpuid_live(vp, leaf->eax, leaf->ecx, values);
    }
    vp->xcr0 = xcr0;
    vp->xss = xss;
}

enum hv_status hypercall_get_vp_cpuid_values(struct hypercall *call)
{
    const struct hv_input_get_vp_cpuid_values *input = call->input;
    uint32_t(*values)[4] = call->output;

    if (input->flags & ~(USE_VP_XFEM_XSS | APPLY_REGISTERED))
        return HV_STATUS_INVALID_PARAMETER;
    for (; call->reps_done < call->rep_count; call->reps_done++) {
        if (call->reps_done > call->rep_start && !hypercall_spend(call, CPUID_COST))
            return HV_STATUS_SUCCESS;
        get_values(call->vp, input->flags, &input->leaves[call->reps_done], values[call->reps_done]);
    }
    return HV_STATUS_SUCCESS;
}
