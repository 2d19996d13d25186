; SPDX-License-Identifier: GPL-2.0-or-later
; The low page: the one page, below 1 MiB and mapped at its own address in Loam's tables too, over which processors
; enter the hypervisor. Position-independent; the loader fills the fields at LOW_PAGE_FIELDS.
;
;   offset 0            real mode: where a redirected SIPI starts a processor that the firmware did not hand over
;   LOW_PAGE_CALL       long mode: called by the EFI loader
;   LOW_PAGE_FIELDS     struct low_page_fields

%define LOW_PAGE_CALL   0x400
%define LOW_PAGE_FIELDS 0xF00
%define LAUNCH_INITIALIZE 0
%define LAUNCH_SIPI     2
%define STACK_STRIDE    0x8000
%define STACK_TOP       0x3000
%define EFER            0xC0000080
%define EFER_LME_NXE    0x900
%define CR4_LA57        12

section .low_page progbits alloc noexec nowrite align=4096
global low_page_template
low_page_template:

BITS 16
sipi_start:
    cli
    mov ax, cs
    mov ds, ax
    xor ebx, ebx
    mov bx, ax
    shl ebx, 4                          ; physical address of this page
    lea eax, [ebx + (gdt - low_page_template)]
    mov [gdt_pointer - low_page_template + 2], eax
    lea eax, [ebx + (sipi_long - low_page_template)]
    mov [sipi_far - low_page_template], eax
    o32 lgdt [gdt_pointer - low_page_template]
    mov eax, 0x20                       ; CR4.PAE
    mov cr4, eax
    mov eax, [LOW_PAGE_FIELDS]          ; root_table, below 4 GiB
    mov cr3, eax
    mov ecx, EFER
    mov eax, EFER_LME_NXE
    xor edx, edx
    wrmsr
    mov eax, 0x80010033                 ; PG WP NE ET MP PE
    mov cr0, eax
    jmp dword far [sipi_far - low_page_template]
align 8
sipi_far:
    dd 0
    dw 8
gdt_pointer:
    dw 31
    dq 0

BITS 64
sipi_long:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor edi, edi                        ; no launch context
    lea rbx, [rel low_page_template]
    mov esi, 1
    lock xadd [rbx + LOW_PAGE_FIELDS + 24], esi     ; index
    cmp esi, [rbx + LOW_PAGE_FIELDS + 28]
    jae .too_many
    mov edx, LAUNCH_SIPI
    mov eax, esi
    shl rax, 15                         ; STACK_STRIDE
    add rax, [rbx + LOW_PAGE_FIELDS + 16]
    lea rsp, [rax + STACK_TOP]
    mov rax, [rbx + LOW_PAGE_FIELDS + 8]
    call rax
.too_many:                              ; more processors than the firmware's tables said: leave it asleep
    cli
    hlt
    jmp .too_many

align 16
gdt:
    dq 0
    dq 0x00AF9B000000FFFF               ; 0x08 64-bit code
    dq 0x00CF93000000FFFF               ; 0x10 data
    dq 0x00CF9B000000FFFF               ; 0x18 32-bit code

times LOW_PAGE_CALL - ($ - low_page_template) db 0xCC

; rdi = struct launch_context. Returns only from LAUNCH_INITIALIZE.
firmware_call:
    lea rbx, [rel low_page_template]
    mov rbp, rsp
    mov r13, cr3
    mov ecx, EFER
    rdmsr
    mov r14d, eax
    or eax, 0x800                       ; NXE: Loam's tables use it
    wrmsr
    ; Loam's tables do not map the firmware's memory here: what is needed of the context waits in this page.
    mov [rbx + LOW_PAGE_FIELDS + 40], rdi
    mov eax, [rdi + 112]                            ; index
    mov [rbx + LOW_PAGE_FIELDS + 48], eax
    mov eax, [rdi + 108]                            ; operation
    mov [rbx + LOW_PAGE_FIELDS + 52], eax
    mov rax, cr4
    bt rax, CR4_LA57
    jnc .four_levels
    mov rax, [rbx + LOW_PAGE_FIELDS + 32]           ; root_table5
    cmp dword [rdi + 108], LAUNCH_INITIALIZE
    je .load_root
    ; A launched processor runs on four levels: CR4.LA57 can only be changed with paging off, thus from 32-bit code,
    ; in which registers may lose their upper halves.
    lea rax, [rel gdt]
    mov [rbx + (gdt_pointer - low_page_template) + 2], rax
    lgdt [rbx + (gdt_pointer - low_page_template)]
    lea rax, [rbx + (leave_paging - low_page_template)]
    mov [rbx + (far32 - low_page_template)], eax
    lea rax, [rbx + (four_level_mode - low_page_template)]
    mov [rbx + (far64 - low_page_template)], eax
    jmp far dword [rbx + (far32 - low_page_template)]
.four_levels:
    mov rax, [rbx + LOW_PAGE_FIELDS]                ; root_table
.load_root:
    mov cr3, rax
enter_hypervisor:
    mov esi, [rbx + LOW_PAGE_FIELDS + 48]
    mov eax, esi
    shl rax, 15                         ; STACK_STRIDE
    add rax, [rbx + LOW_PAGE_FIELDS + 16]
    lea rsp, [rax + STACK_TOP]
    mov rdi, [rbx + LOW_PAGE_FIELDS + 40]
    mov edx, [rbx + LOW_PAGE_FIELDS + 52]
    mov rax, [rbx + LOW_PAGE_FIELDS + 8]
    call rax
    ; back from LAUNCH_INITIALIZE
    mov cr3, r13
    mov rsp, rbp
    mov ecx, EFER
    rdmsr
    mov eax, r14d
    wrmsr
    ret

BITS 32
leave_paging:
    mov eax, 0x10
    mov ds, eax
    mov ss, eax
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax
    mov eax, cr4
    and eax, ~(1 << CR4_LA57)
    mov cr4, eax
    mov eax, [ebx + LOW_PAGE_FIELDS]
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    jmp far dword [ebx + (far64 - low_page_template)]
BITS 64
four_level_mode:
    mov ebx, ebx
    jmp enter_hypervisor
align 8
far32:
    dd 0
    dw 0x18
    dw 0
far64:
    dd 0
    dw 8
    dw 0

times 4096 - ($ - low_page_template) db 0

section .note.GNU-stack noalloc noexec nowrite progbits
