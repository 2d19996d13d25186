/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/hypervisor_image.h"
#include "arch/x86_64/cpu/instructions.h"

#define ECX_VMX        (1u << 5) /* of CPUID 1 */
#define CPUID_EXTENDED 0x80000001u
#define ECX_SVM        (1u << 2) /* of CPUID 8000_0001 */

/* EBX of CPUID 0: "Auth"enticAMD, "Hygo"nGenuine */
#define MAKER_AMD   0x68747541u
#define MAKER_HYGON 0x6F677948u

/* launch.asm */
extern const struct image_header svm_image, vmx_image;

/* Firmware may hide the feature: then the maker decides whose advice is given. */
const struct image_header *hypervisor_image(void)
{
    uint32_t result[4];
    bool maker_has_svm;

    cpuid(0, 0, result);
    maker_has_svm = result[1] == MAKER_AMD || result[1] == MAKER_HYGON;
    cpuid(1, 0, result);
    if (result[2] & ECX_VMX)
        return &vmx_image;
    cpuid(CPUID_EXTENDED - 1, 0, result);
    if (result[0] >= CPUID_EXTENDED) {
        cpuid(CPUID_EXTENDED, 0, result);
        if (result[2] & ECX_SVM)
            return &svm_image;
    }
    return maker_has_svm ? &svm_image : &vmx_image;
}
