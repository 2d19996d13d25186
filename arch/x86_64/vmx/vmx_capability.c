/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/emulator.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/vmx/vmx.h"
#include "kernel/vp.h"

#define ECX_MONITOR         (1u << 3) /* of CPUID 1 */
#define ECX_VMX             (1u << 5)
#define ECX_SMX             (1u << 6)
#define EBX_PROCESSOR_TRACE (1u << 25) /* of CPUID 7 */

enum { EAX, EBX, ECX, EDX };

static uint64_t basic, ept_vpid;

/* The low half of such an MSR has the bits that must be 1, the high half those that may be. */
static uint64_t capability(enum vmx_controls which)
{
    return rdmsr(which == VMX_SECONDARY ? MSR_VMX_SECONDARY : MSR_VMX_TRUE_PIN + which);
}

#define NEEDED(what) "this processor's VT-x has no " what ", which Loam needs"

static const struct {
    enum vmx_controls which;
    uint32_t bit;
    const char *problem;
} required_controls[] = {
    {VMX_PROCESSOR, PROCESSOR_SECONDARY,            NEEDED("secondary processor-based controls")},
    {VMX_SECONDARY, SECONDARY_EPT,                  NEEDED("extended page tables (EPT)")        },
    {VMX_SECONDARY, SECONDARY_UNRESTRICTED_GUEST,   NEEDED("unrestricted guest")                },
    {VMX_SECONDARY, SECONDARY_VPID,                 NEEDED("virtual processor identifiers")     },
    {VMX_PIN,       PIN_EXTERNAL_INTERRUPT_EXITING, NEEDED("external-interrupt exiting")        },
    {VMX_PIN,       PIN_NMI_EXITING,                NEEDED("NMI exiting")                       },
    {VMX_PIN,       PIN_VIRTUAL_NMIS,               NEEDED("virtual NMIs")                      },
    {VMX_PIN,       PIN_PREEMPTION_TIMER,           NEEDED("a preemption timer")                },
    {VMX_PROCESSOR, PROCESSOR_INTERRUPT_WINDOW,     NEEDED("interrupt-window exiting")          },
    {VMX_PROCESSOR, PROCESSOR_NMI_WINDOW,           NEEDED("NMI-window exiting")                },
    {VMX_PROCESSOR, PROCESSOR_TSC_OFFSETTING,       NEEDED("TSC offsetting")                    },
    {VMX_PROCESSOR, PROCESSOR_HLT_EXITING,          NEEDED("HLT exiting")                       },
    {VMX_PROCESSOR, PROCESSOR_TPR_SHADOW,           NEEDED("a TPR shadow")                      },
    {VMX_PROCESSOR, PROCESSOR_UNCONDITIONAL_IO,     NEEDED("unconditional I/O exiting")         },
    {VMX_PROCESSOR, PROCESSOR_MSR_BITMAPS,          NEEDED("MSR bitmaps")                       },
    {VMX_EXIT,      EXIT_SAVE_PAT,                  NEEDED("saving of PAT at exits")            },
    {VMX_EXIT,      EXIT_LOAD_PAT,                  NEEDED("loading of PAT at exits")           },
    {VMX_EXIT,      EXIT_SAVE_EFER,                 NEEDED("saving of EFER at exits")           },
    {VMX_EXIT,      EXIT_LOAD_EFER,                 NEEDED("loading of EFER at exits")          },
    {VMX_ENTRY,     ENTRY_LOAD_PAT,                 NEEDED("loading of PAT at entries")         },
    {VMX_ENTRY,     ENTRY_LOAD_EFER,                NEEDED("loading of EFER at entries")        },
};

static const struct {
    uint64_t bits;
    const char *problem;
} required_translations[] = {
    {EPT_VPID_WALK_4,                                                NEEDED("EPT with four levels")       },
    {EPT_VPID_WRITE_BACK,                                            NEEDED("EPT in write-back memory")   },
    {EPT_VPID_2M,                                                    NEEDED("EPT with 2 MiB pages")       },
    {EPT_VPID_INVEPT | EPT_VPID_INVEPT_SINGLE | EPT_VPID_INVEPT_ALL, NEEDED("INVEPT")                     },
    {EPT_VPID_INVVPID | EPT_VPID_INVVPID_SINGLE,                     NEEDED("INVVPID of a single context")},
};

const char *vmx_unsupported(void)
{
    uint32_t result[4];
    uint64_t feature_control, translations;

    cpuid(1, 0, result);
    if (!(result[2] & ECX_VMX))
        return "this processor has no VT-x, or the firmware hides it: enable VT-x in the firmware's setup";
    feature_control = rdmsr(MSR_FEATURE_CONTROL);
    if ((feature_control & FEATURE_CONTROL_LOCKED) && !(feature_control & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
        return "VT-x is disabled and locked by the firmware: enable VT-x in the firmware's setup";
    if (!(rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE_CONTROLS))
        return NEEDED("capability MSRs of the second kind (\"true\" controls)");
    for (unsigned i = 0; i < sizeof required_controls / sizeof required_controls[0]; i++)
        if (!(capability(required_controls[i].which) >> 32 & required_controls[i].bit))
            return required_controls[i].problem;
    translations = rdmsr(MSR_VMX_EPT_VPID);
    for (unsigned i = 0; i < sizeof required_translations / sizeof required_translations[0]; i++)
        if ((translations & required_translations[i].bits) != required_translations[i].bits)
            return required_translations[i].problem;
    return NULL;
}

/* Instructions that are invalid opcodes to a guest unless a control allows them; 0: one that Loam does not set. */
static const struct {
    uint32_t leaf;
    uint8_t subleaf, where, bit;
    uint32_t secondary;
} conditional[] = {
    {7,           0, EBX, 10, SECONDARY_INVPCID  }, /* INVPCID */
    {7,           0, ECX, 5,  SECONDARY_USER_WAIT}, /* WAITPKG */
    {7,           0, ECX, 22, SECONDARY_RDTSCP   }, /* RDPID */
    {7,           0, EDX, 18, SECONDARY_PCONFIG  }, /* PCONFIG */
    {7,           1, EAX, 17, 0                  }, /* FRED */
    {7,           1, EAX, 27, 0                  }, /* RDMSRLIST, WRMSRLIST */
    {0xD,         1, EAX, 3,  SECONDARY_XSAVES   }, /* XSAVES */
    {0x80000001u, 0, EDX, 27, SECONDARY_RDTSCP   }, /* RDTSCP */
};

/* On Bochs a guest's MWAIT sleeps through stores of other processors (docs/emulators.md). */
static bool loses_monitor;

void vmx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    cpuid(leaf, subleaf, result);
    if (leaf == 1)
        result[ECX] &= ~(ECX_VMX | ECX_SMX | (loses_monitor ? ECX_MONITOR : 0));
    if (leaf == 7 && subleaf == 0 && !(rdmsr(MSR_VMX_MISC) & VMX_MISC_PROCESSOR_TRACE))
        result[EBX] &= ~EBX_PROCESSOR_TRACE;
    for (unsigned i = 0; i < sizeof conditional / sizeof conditional[0]; i++)
        if (conditional[i].leaf == leaf && conditional[i].subleaf == subleaf &&
            !(capability(VMX_SECONDARY) >> 32 & conditional[i].secondary))
            result[conditional[i].where] &= ~(1u << conditional[i].bit);
}

static uint64_t capabilities[VMX_CONTROLS];

void vmx_capability_initialize(void)
{
    basic = rdmsr(MSR_VMX_BASIC);
    ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
    loses_monitor = running_on_bochs();
    for (unsigned i = 0; i < VMX_CONTROLS; i++)
        capabilities[i] = capability(i);
}

uint32_t vmx_controls(enum vmx_controls which, uint32_t wanted)
{
    return (wanted | (uint32_t)capabilities[which]) & (uint32_t)(capabilities[which] >> 32);
}

uint64_t vmx_ept_vpid(void)
{
    return ept_vpid;
}

uint64_t vmx_basic(void)
{
    return basic;
}
