; SPDX-License-Identifier: GPL-2.0-or-later
; Entry points of the hypervisor's own interrupt descriptor table.
BITS 64
%define ARCH_LP_NMIS 8      ; offset in struct arch_lp, asserted in fault.c
extern fault_handler, host_nmi
section .text

; Exceptions 0 to 31, 16 bytes apart. Stack then: number, error code (0 if the processor pushed none), RIP, CS, ...
%macro EXCEPTION_ENTRY 1
    align 16
    %if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30
    %else
    push 0
    %endif
    push %1
    jmp exception_common
%endmacro

align 16
global exception_entries
exception_entries:
%assign number 0
%rep 32
    EXCEPTION_ENTRY number
%assign number number + 1
%endrep

; Builds struct fault_frame and lets the handler go on at a fix-up, if there is one.
exception_common:
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rdi
    push rsi
    push rbp
    push rbx
    push rdx
    push rcx
    push rax
    cld
    mov rdi, rsp
    mov rbp, rsp
    and rsp, -16
    call fault_handler
    mov rsp, rbp
    pop rax
    pop rcx
    pop rdx
    pop rbx
    pop rbp
    pop rsi
    pop rdi
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    add rsp, 16
    iretq

; NMIs: only in the windows that are opened for them on AMD-V, at any time in host mode on VT-x. GS is the host's. What
; is restarted there was about to sleep or to enter a guest, and has to look again at what the NMI is for.
global nmi_entry
extern restart_table, restart_table_end
nmi_entry:
    push rax
    push rcx
    inc dword [gs:ARCH_LP_NMIS]
    mov rax, [rsp + 16]         ; RIP
    mov rcx, restart_table
.next:
    cmp rcx, restart_table_end
    je .done
    cmp rax, [rcx]
    jb .other
    cmp rax, [rcx + 8]
    jbe .restart
.other:
    add rcx, 24
    jmp .next
.restart:
    mov rcx, [rcx + 16]
    mov [rsp + 16], rcx
.done:
    pop rcx
    pop rax
    iretq

; Other vectors, 8 bytes apart: while a processor drains its local APIC for an INIT, and from an emulator in host mode.
extern host_interrupt
%macro INTERRUPT_ENTRY 1
    align 8
    push strict byte (%1 ^ 0x80) - 0x80 ; sign-extended: the low byte counts
    jmp strict near interrupt_common
%endmacro

align 16
global interrupt_entries
interrupt_entries:
%assign number 32
%rep 224
    INTERRUPT_ENTRY number
%assign number number + 1
%endrep

interrupt_common:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbp
    mov rbp, rsp
    and rsp, -16
    cld
    movzx edi, byte [rbp + 80]
    call host_interrupt
    mov rsp, rbp
    pop rbp
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 8
    iretq

; void load_descriptors(const void *gdtr, const void *idtr): the hypervisor's segments, GS base untouched.
global load_descriptors
load_descriptors:
    lgdt [rdi]
    lidt [rsi]
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lldt ax
    mov eax, 0x18
    ltr ax
    pop rax
    push 8
    push rax
    retfq

section .note.GNU-stack noalloc noexec nowrite progbits
