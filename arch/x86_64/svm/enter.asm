; SPDX-License-Identifier: GPL-2.0-or-later
; The world switch of AMD-V (AMD64 APM vol. 2, 15.5). Runs with GIF = 0 on both sides. And waiting in host mode.
%include "arch/x86_64/cpu/speculation.inc"
BITS 64
section .text

; void svm_enter(struct vp *vp, uint64_t vmcb, uint64_t host_vmcb)
; Loads the guest's general registers (struct vp begins with them; RAX and RSP travel in the VMCB), runs until #VMEXIT,
; and stores them. The guest's FS, GS, TR, LDTR and syscall MSRs are swapped for the host's, so that lp_current() works.
global svm_enter
svm_enter:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rdx
    push rdi
    mov rax, rsi
    vmload
    mov rcx, [rdi + 8]
    mov rdx, [rdi + 16]
    mov rbx, [rdi + 24]
    mov rbp, [rdi + 40]
    mov rsi, [rdi + 48]
    mov r8, [rdi + 64]
    mov r9, [rdi + 72]
    mov r10, [rdi + 80]
    mov r11, [rdi + 88]
    mov r12, [rdi + 96]
    mov r13, [rdi + 104]
    mov r14, [rdi + 112]
    mov r15, [rdi + 120]
    mov rdi, [rdi + 56]
    vmrun
    vmsave                      ; RAX is the VMCB's address again
    mov rax, [rsp]              ; vp
    mov [rax + 8], rcx
    mov [rax + 16], rdx
    mov [rax + 24], rbx
    mov [rax + 40], rbp
    mov [rax + 48], rsi
    mov [rax + 56], rdi
    mov [rax + 64], r8
    mov [rax + 72], r9
    mov [rax + 80], r10
    mov [rax + 88], r11
    mov [rax + 96], r12
    mov [rax + 104], r13
    mov [rax + 112], r14
    mov [rax + 120], r15
    pop rdi
    pop rax                     ; host_vmcb
    vmload
    FILL_RETURN_STACK
    ; No guest value stays in a register that the compiler might use speculatively.
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
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
