; SPDX-License-Identifier: GPL-2.0-or-later
; The world switch of VT-x (SDM vol. 3C, 27 and 28), and waiting in host mode. Runs with IF = 0; NMIs are open in host
; mode, so that one may come at any instruction here (nmi_entry in cpu/vectors.asm).
%include "arch/x86_64/cpu/guest_registers.inc"
%include "arch/x86_64/cpu/speculation.inc"
BITS 64
%define ARCH_LP_NMIS            8   ; offsets in struct arch_lp, asserted in fault.c
%define ARCH_LP_NMIS_ACCOUNTED  12
%define VMCS_HOST_RSP           0x6C14
%define VMX_ENTER_EXIT          0   ; enum vmx_enter
%define VMX_ENTER_FAIL          1
%define VMX_ENTER_NMI           2
section .text

; The last look for an NMI, and the instruction that is its argument. Labels: .vmresume to .vmresume_last, or so.
%macro ENTER_GUEST 1
.%1:
    mov edi, [gs:ARCH_LP_NMIS]
    cmp edi, [gs:ARCH_LP_NMIS_ACCOUNTED]
    jne .interrupted
    mov rdi, [rsp]
    mov rdi, [rdi + 56]
.%1_last:
    %1
%endmacro

; enum vmx_enter vmx_enter(struct vp *vp, bool launched)
; Loads the guest's general registers (struct vp begins with them; RSP travels in the VMCS), runs until VM exit, and
; stores them. An NMI that has not been accounted for, or comes before the guest is entered, keeps it from being entered.
global vmx_enter
vmx_enter:
    PUSH_HOST_REGISTERS
    push rdi
    mov eax, VMCS_HOST_RSP
    vmwrite rax, rsp
    test esi, esi               ; ZF stays until VMLAUNCH or VMRESUME is chosen
    mov rax, [rdi]
    LOAD_GUEST_REGISTERS
    jz .launch
    ENTER_GUEST vmresume
    jmp .failed
.launch:
    ENTER_GUEST vmlaunch
.failed:
    pop rdi
    mov eax, VMX_ENTER_FAIL
    jmp leave_guest
.interrupted:
    pop rdi
    mov eax, VMX_ENTER_NMI
    jmp leave_guest
global vmx_exit_entry
vmx_exit_entry:
    push rdi
    mov rdi, [rsp + 8]          ; vp
    mov [rdi], rax
    pop rax                     ; the guest's RDI
    mov [rdi + 56], rax
    STORE_GUEST_REGISTERS rdi
    pop rdi
    FILL_RETURN_STACK
    mov eax, VMX_ENTER_EXIT
leave_guest:
    POP_HOST_REGISTERS
    ret

; void vmx_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen): until *word is not 0 or *nmis is not
; `seen`; an NMI wakes the processor.
global vmx_wait
vmx_wait:
.check:
    cmp dword [rdi], 0
    jne .done
    cmp dword [rsi], edx
    jne .done
.halt:
    hlt
    jmp .check
.done:
    ret

; Where an NMI begins again: first and last instruction, and where.
section .restart_table progbits alloc noexec nowrite align=8
    dq vmx_enter.vmresume, vmx_enter.vmresume_last, vmx_enter.vmresume
    dq vmx_enter.vmlaunch, vmx_enter.vmlaunch_last, vmx_enter.vmlaunch
    dq vmx_wait.check, vmx_wait.halt, vmx_wait.check

section .note.GNU-stack noalloc noexec nowrite progbits
