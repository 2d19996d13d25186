; SPDX-License-Identifier: GPL-2.0-or-later
; The first page of code where there is no UEFI: from the boot loader's 32-bit protected mode to long mode with the
; lowest 4 GiB mapped at their own addresses; and from there into Linux.

%define MULTIBOOT2_MAGIC    0xE85250D6
%define TAG_ALIGN_MODULES   6
%define STACK_SIZE          0x8000
%define PRESENT_WRITABLE    0x003
%define LARGE_PAGE          0x083
%define CODE                0x10        ; Linux's __BOOT_CS and __BOOT_DS
%define DATA                0x18
%define CODE32              0x20
%define CR0_LONG_MODE       0x80000033  ; PG NE ET MP PE
%define CR0_PG              0x80000000
%define CR4_PAE             0x20
%define EFER                0xC0000080
%define EFER_LME            0x100
%define CPUID_EXTENDED      0x80000001
%define CPUID_LONG_MODE     29          ; of EDX
%define VGA_TEXT            0xB8000
%define VGA_WHITE           0x0F

section .multiboot_header progbits alloc noexec nowrite align=8
header:
    dd MULTIBOOT2_MAGIC
    dd 0                                ; i386
    dd header_end - header
    dd -(MULTIBOOT2_MAGIC + (header_end - header)) & 0xFFFFFFFF
    dw TAG_ALIGN_MODULES, 0
    dd 8
    dw 0, 0                             ; end
    dd 8
header_end:

section .text
extern multiboot_main

BITS 32
; EAX = the boot loader's magic number, EBX = its information, flat segments, interrupts off.
global multiboot_entry
multiboot_entry:
    cld
    mov esp, stack_end
    mov edi, eax
    mov esi, ebx
    mov eax, CPUID_EXTENDED & 0x80000000
    cpuid
    cmp eax, CPUID_EXTENDED
    jb no_long_mode
    mov eax, CPUID_EXTENDED
    cpuid
    bt edx, CPUID_LONG_MODE
    jnc no_long_mode

    mov dword [root_table], pointer_table + PRESENT_WRITABLE
    mov eax, directories + PRESENT_WRITABLE
    xor ecx, ecx
.pointer:
    mov [pointer_table + ecx * 8], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jb .pointer
    mov eax, LARGE_PAGE
    xor ecx, ecx
.directory:
    mov [directories + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 4 * 512
    jb .directory

    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, root_table
    mov cr3, eax
    mov ecx, EFER
    xor edx, edx
    mov eax, EFER_LME
    wrmsr
    mov eax, CR0_LONG_MODE
    mov cr0, eax
    lgdt [gdt_pointer]
    jmp CODE:long_mode

no_long_mode:
    mov esi, no_long_mode_text
    mov edi, VGA_TEXT
    mov ah, VGA_WHITE
.next:
    lodsb
    test al, al
    jz .stop
    stosw
    jmp .next
.stop:
    cli
    hlt
    jmp .stop

BITS 64
long_mode:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lidt [no_idt]
    mov esp, stack_end
    mov edi, edi
    mov esi, esi
    call multiboot_main                 ; does not return

; void enter_linux64(uint64_t entry, const void *boot_params)
global enter_linux64
enter_linux64:
    jmp rdi

; void enter_linux32(uint64_t entry, const void *boot_params): by 32-bit code without paging
global enter_linux32
enter_linux32:
    push CODE32
    push .compatible
    retfq
BITS 32
.compatible:
    mov eax, cr0
    and eax, ~CR0_PG
    mov cr0, eax
    mov ecx, EFER
    xor eax, eax
    xor edx, edx
    wrmsr
    mov cr4, eax
    lgdt [gdt32_pointer]
    jmp CODE:.flat
.flat:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov eax, edi
    xor ebx, ebx
    xor ebp, ebp
    xor edi, edi
    jmp eax

section .rodata
align 16
gdt:
    dq 0
    dq 0
    dq 0x00AF9B000000FFFF               ; CODE
    dq 0x00CF93000000FFFF               ; DATA
    dq 0x00CF9B000000FFFF               ; CODE32
gdt32:
    dq 0
    dq 0
    dq 0x00CF9B000000FFFF
    dq 0x00CF93000000FFFF
gdt_end:
gdt_pointer:
    dw gdt32 - gdt - 1
    dq gdt
gdt32_pointer:
    dw gdt_end - gdt32 - 1
    dd gdt32
no_idt:
    dw 0
    dq 0
no_long_mode_text:
    db "Loam: this processor has no 64-bit mode; nothing can be started", 0

section .bss nobits alloc noexec write align=4096
alignb 4096
root_table:     resb 4096
pointer_table:  resb 4096
directories:    resb 4 * 4096
stack:          resb STACK_SIZE
stack_end:

section .note.GNU-stack noalloc noexec nowrite progbits
