; SPDX-License-Identifier: GPL-2.0-or-later
; The world switch of AMD-V (AMD64 APM vol. 2, 15.5). Runs with GIF = 0 on both sides. And waiting in host mode.
%include "arch/x86_64/cpu/guest_registers.inc"
%include "arch/x86_64/cpu/speculation.inc"
BITS 64
section .text

; void svm_enter(struct vp *vp, uint64_t vmcb, uint64_t host_vmcb)
; Loads the guest's general registers (struct vp begins with them; RAX and RSP travel in the VMCB), runs until #VMEXIT,
; and stores them. The guest's FS, GS, TR, LDTR and syscall MSRs are swapped for the host's, so that lp_current() works.
global svm_enter
svm_enter:
    PUSH_HOST_REGISTERS
    push rdx
    push rdi
    mov rax, rsi
    vmload
    LOAD_GUEST_REGISTERS
    mov rdi, [rdi + 56]
    vmrun
    vmsave                      ; RAX is the VMCB's address again
    mov rax, [rsp]              ; vp
    STORE_GUEST_REGISTERS rax
    mov [rax + 56], rdi
    pop rdi
    pop rax                     ; host_vmcb
    vmload
    FILL_RETURN_STACK
    POP_HOST_REGISTERS
    ret

; void svm_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen): with GIF = 1, so that SMIs and
; NMIs are served, and IF = 0, until *word is not 0 or *nmis is not `seen`.
global svm_wait
svm_wait:
    cli
    stgi
.check:
    cmp dword [rdi], 0
    jne .done
    cmp dword [rsi], edx
    jne .done
.halt:
    hlt
    jmp .check
.done:
    clgi
    sti
    ret

; Where an NMI begins again: first and last instruction, and where.
section .restart_table progbits alloc noexec nowrite align=8
    dq svm_wait.check, svm_wait.halt, svm_wait.check

section .note.GNU-stack noalloc noexec nowrite progbits
