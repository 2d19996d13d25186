; SPDX-License-Identifier: GPL-2.0-or-later
; Entry points of the hypervisor's own interrupt descriptor table, and waiting for an NMI.
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

; An NMI is only taken in the windows that the NMI exit, polling and waiting open. GS is the host's there.
; One between the check and the HLT of wait_for_word must not be slept through: it checks again.
global nmi_entry
nmi_entry:
    push rax
    push rcx
    inc dword [gs:ARCH_LP_NMIS]
    mov rax, [rsp + 16]         ; RIP
    lea rcx, [rel wait_for_word.check]
    sub rax, rcx
    cmp rax, wait_for_word.halt - wait_for_word.check
    ja .elsewhere
    mov [rsp + 16], rcx
.elsewhere:
    pop rcx
    pop rax
    iretq

; void wait_for_word(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen): with GIF = 1, so that SMIs and
; NMIs are served, and IF = 0, until *word is not 0 or *nmis is not `seen`.
global wait_for_word
wait_for_word:
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

; Any other vector, while a processor drains its local APIC for an INIT: acknowledged and forgotten.
extern host_apic_drain_one
global drain_entry
drain_entry:
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
    call host_apic_drain_one
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
