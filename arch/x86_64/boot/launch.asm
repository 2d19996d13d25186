; SPDX-License-Identifier: GPL-2.0-or-later
; Part of the EFI loader: leaves the firmware for the hypervisor. The offsets are those of struct launch_context.
BITS 64
DEFAULT REL
section .text

; void enter_loam(struct launch_context *context, uint64_t low_page_call)   (System V calling convention)
; For LAUNCH_INITIALIZE the low page's code returns here with everything restored; for LAUNCH_PROCESSOR the hypervisor
; makes a guest that continues at .resume.
global enter_loam
enter_loam:
    pushfq
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    pushfq
    pop rax
    cli
    mov [rdi + 16], rax
    mov [rdi + 0], rsp
    lea rax, [.resume]
    mov [rdi + 8], rax
    mov rax, cr0
    mov [rdi + 24], rax
    mov rax, cr3
    mov [rdi + 32], rax
    mov rax, cr4
    mov [rdi + 40], rax
    mov ecx, 0xC0000080         ; EFER
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov [rdi + 48], rax
    mov rax, dr6
    mov [rdi + 56], rax
    mov rax, dr7
    mov [rdi + 64], rax
    mov [rdi + 72], cs
    mov [rdi + 74], ss
    mov [rdi + 76], ds
    mov [rdi + 78], es
    mov [rdi + 80], fs
    mov [rdi + 82], gs
    str [rdi + 84]
    sldt [rdi + 86]
    sgdt [rdi + 88]
    sidt [rdi + 98]
    call rsi
.resume:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    popfq
    ret

section .rodata
global svm_image, vmx_image
align 16
svm_image:
    incbin SVM_IMAGE
align 16
vmx_image:
    incbin VMX_IMAGE

section .note.GNU-stack noalloc noexec nowrite progbits
