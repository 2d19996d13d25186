/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything against leaks through speculative execution, between partitions and into the hypervisor:
 *   - entering a child: VERW overwrites the processor's internal buffers (MDS, TAA, MMIO stale data; TSA on
 * AMD), and the L1 data cache is flushed where a guest can read it through a page table entry (L1TF);
 *   - leaving it for the parent: IBPB, so that the child's branch history steers neither the parent's kernel,
 * which runs in the same mode as the child's, nor the next child. The way from child to child leads through
 * the parent. The child's SPEC_CTRL is loaded with its other state (extended_state.c);
 *   - at each exit of any guest: the hypervisor's returns are predicted by calls of its own
 * (speculation.inc), and its indirect branches are retpolines, which are predicted like returns
 * (-mindirect-branch, arch/x86_64/boot/build.mk). Automatic IBRS, where the processor has it, does both in
 * hardware; it is turned on for the hypervisor all the same.
 * docs/security.md says what this leaves open, and what it costs.
 */
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/speculation.h"

#define SPEC_CTRL_IBRS  0x1ull
#define SPEC_CTRL_STIBP 0x2ull
#define SPEC_CTRL_SSBD  0x4ull
#define SPEC_CTRL_PSFD  0x80ull
#define PRED_CMD_IBPB   0x1ull
#define PRED_CMD_SBPB   0x80ull
#define FLUSH_CMD_L1D   0x1ull

static struct {
    uint64_t spec_ctrl, pred_cmd; /* bits that exist */
    bool verw;
    bool flush_l1d;
    bool automatic_ibrs;
} host;

uint64_t speculation_arch_capabilities(void)
{
    uint32_t leaf[4];
    cpuid(0, 0, leaf);
    if (leaf[0] < 7)
        return 0;
    cpuid(7, 0, leaf);
    return (leaf[3] >> 29 & 1) != 0 ? rdmsr(MSR_ARCH_CAPABILITIES) : 0;
}

static void detect_intel(void)
{
    uint32_t leaf[4];
    cpuid(7, 0, leaf);
    uint32_t edx = leaf[3];
    if ((edx >> 26 & 1) != 0) {
        host.spec_ctrl |= SPEC_CTRL_IBRS;
        host.pred_cmd |= PRED_CMD_IBPB;
    }
    if ((edx >> 27 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_STIBP;
    if ((edx >> 31 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_SSBD;
    host.verw = (edx >> 10 & 1) != 0; /* MD_CLEAR */
    if ((edx >> 28 & 1) != 0) {       /* FLUSH_CMD */
        uint64_t capabilities = speculation_arch_capabilities();
        host.flush_l1d = (capabilities & (ARCH_CAPABILITIES_RDCL_NO | ARCH_CAPABILITIES_SKIP_L1DFL)) == 0;
    }
}

static void detect_amd(uint32_t maximum)
{
    uint32_t leaf[4];
    cpuid(0x80000008, 0, leaf);
    uint32_t ebx = leaf[1];
    if ((ebx >> 12 & 1) != 0)
        host.pred_cmd |= PRED_CMD_IBPB;
    if ((ebx >> 14 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_IBRS;
    if ((ebx >> 15 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_STIBP;
    if ((ebx >> 24 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_SSBD;
    if ((ebx >> 28 & 1) != 0)
        host.spec_ctrl |= SPEC_CTRL_PSFD;
    if (maximum < 0x80000021)
        return;
    cpuid(0x80000021, 0, leaf);
    host.verw |= (leaf[0] >> 5 & 1) != 0; /* VERW_CLEAR */
    host.automatic_ibrs = (leaf[0] >> 8 & 1) != 0;
    if ((leaf[0] >> 27 & 1) != 0)
        host.pred_cmd |= PRED_CMD_SBPB;
}

void speculation_detect(void)
{
    uint32_t leaf[4];
    host.spec_ctrl = 0;
    host.pred_cmd = 0;
    host.verw = false;
    host.flush_l1d = false;
    host.automatic_ibrs = false;
    cpuid(0, 0, leaf);
    if (leaf[0] >= 7)
        detect_intel();
    cpuid(0x80000000, 0, leaf);
    if (leaf[0] >= 0x80000008)
        detect_amd(leaf[0]);
}

/* Loaded or not: VERW looks it up in the hypervisor's descriptor table. */
static const uint16_t data_segment = SELECTOR_DATA;

void speculation_enter_child(void)
{
    if (host.flush_l1d)
        wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
    if (host.verw)
        verw(&data_segment);
}

void speculation_leave_child(void)
{
    if ((host.pred_cmd & PRED_CMD_IBPB) != 0)
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

uint64_t speculation_spec_ctrl_mask(void)
{
    return host.spec_ctrl;
}

uint64_t speculation_pred_cmd_mask(void)
{
    return host.pred_cmd;
}

uint64_t speculation_host_efer(void)
{
    return host.automatic_ibrs ? EFER_AUTOMATIC_IBRS : 0;
}
