; SPDX-License-Identifier: GPL-2.0-or-later
; A guest that measures what its own exits cost: a Linux bzImage as far as loam-worker looks, 64-bit entry. For each
; operation it prints "NAME TICKS_1 TICKS_2" on COM1: the fewest TSC ticks that LOOPS and 2 * LOOPS operations took.
; Then it switches the machine off.
BITS 64

LOOPS equ 200
REPEATS equ 40
LOAD_ADDRESS equ 0x100000
SETUP_SIZE equ 1024
NAME_SIZE equ 24
STACK equ 0x90000

COM1 equ 0x3F8
COM1_LINE_STATUS equ COM1 + 5
COM1_SCRATCH equ COM1 + 7
LINE_STATUS_EMPTY equ 0x20
UNCLAIMED_PORT equ 0x2F0
PM1_CONTROL equ 0x604
PM1_SLEEP_ENABLE equ 0x2000         ; with sleep type 0: off
LOCAL_APIC equ 0xFEE00000
LOCAL_APIC_VERSION equ 0x30
IO_APIC equ 0xFEC00000
MSR_APIC_BASE equ 0x1B
MSR_GUEST_OS_ID equ 0x40000000
UNKNOWN_HYPERCALL equ 0x3FF
INTEL equ "Genu"
VMCALL_LAST_BYTE equ 0xC1

org LOAD_ADDRESS - SETUP_SIZE

; The header of the boot protocol (offsets are the protocol's).
setup:
    times 0x1F1 - ($ - setup) db 0
    db 1                            ; setup sectors
    dw 0
    dd (image_end - image + 15) / 16
    times 0x1FE - ($ - setup) db 0
    dw 0xAA55
    db 0xEB, 0x66                   ; the header ends at 268h
    db "HdrS"
    dw 0x020C                       ; version: 64-bit entry
    times 0x211 - ($ - setup) db 0
    db 1                            ; loaded high
    times 0x22C - ($ - setup) db 0
    dd 0x7FFFFFFF                   ; initrd limit
    times 0x236 - ($ - setup) db 0
    dw 1                            ; has a 64-bit entry
    dd 255                          ; length of a command line
    times 0x258 - ($ - setup) db 0
    dq LOAD_ADDRESS
    dd 0x10000                      ; memory that it needs
    times SETUP_SIZE - ($ - setup) db 0

image:
    times 0x200 db 0
entry:
    mov esp, STACK
    mov ecx, MSR_GUEST_OS_ID
    mov eax, 1
    xor edx, edx
    wrmsr
    xor eax, eax
    cpuid
    cmp ebx, INTEL
    jne .calls_set
    mov byte [hypercall_instruction + 2], VMCALL_LAST_BYTE
.calls_set:
    mov r15d, operations
.operation:
    mov r14, [r15]
    test r14, r14
    jz power_off
    lea rsi, [r15 + 8]
    call print
    mov al, ' '
    call print_character
    mov r13d, LOOPS
    call measure
    mov r13d, 2 * LOOPS
    call measure
    mov al, 10
    call print_character
    add r15, 8 + NAME_SIZE
    jmp .operation

power_off:
    mov dx, PM1_CONTROL
    mov ax, PM1_SLEEP_ENABLE
    out dx, ax
    hlt
    jmp power_off

; r14: the function that loops r13 times. Prints the fewest ticks of REPEATS.
measure:
    mov ebp, REPEATS
    mov r12, -1
.again:
    rdtsc
    shl rdx, 32
    lea r11, [rdx + rax]
    mov r10, r13
    call r14
    rdtsc
    shl rdx, 32
    add rax, rdx
    sub rax, r11
    cmp rax, r12
    cmovb r12, rax
    dec ebp
    jnz .again
    mov rax, r12
    call print_number
    mov al, ' '
    jmp print_character

; rax in decimal
print_number:
    xor ecx, ecx
    mov ebx, 10
.digit:
    xor edx, edx
    div rbx
    push rdx
    inc ecx
    test rax, rax
    jnz .digit
.print:
    pop rax
    add al, '0'
    call print_character
    dec ecx
    jnz .print
    ret

; rsi: a string that ends with 0
print:
    lodsb
    test al, al
    jz .end
    call print_character
    jmp print
.end:
    ret

print_character:
    mov ah, al
    mov dx, COM1_LINE_STATUS
.wait:
    in al, dx
    test al, LINE_STATUS_EMPTY
    jz .wait
    mov dx, COM1
    mov al, ah
    out dx, al
    ret

; The loops: r10 times one operation. They may change rax, rbx, rcx, rdx.
nothing:
    dec r10
    jnz nothing
    ret

cpuid_0:
    xor eax, eax
    cpuid
    dec r10
    jnz cpuid_0
    ret

cpuid_1:
    mov eax, 1
    cpuid
    dec r10
    jnz cpuid_1
    ret

hypercall:
    mov ecx, UNKNOWN_HYPERCALL
hypercall_instruction:
    vmmcall                         ; 0F 01 D9; VMCALL on Intel's processors
    dec r10
    jnz hypercall
    ret

read_msr:
    mov ecx, MSR_APIC_BASE
    rdmsr
    dec r10
    jnz read_msr
    ret

read_local_apic:
    mov ebx, LOCAL_APIC
.loop:
    mov eax, [rbx + LOCAL_APIC_VERSION]
    dec r10
    jnz .loop
    ret

write_port:
    mov dx, COM1_SCRATCH
.loop:
    out dx, al
    dec r10
    jnz .loop
    ret

read_port:
    mov dx, COM1_SCRATCH
.loop:
    in al, dx
    dec r10
    jnz .loop
    ret

write_unclaimed_port:
    mov dx, UNCLAIMED_PORT
.loop:
    out dx, al
    dec r10
    jnz .loop
    ret

write_memory:
    mov ebx, IO_APIC
    xor eax, eax
.loop:
    mov [rbx], eax
    dec r10
    jnz .loop
    ret

read_memory:
    mov ebx, IO_APIC
.loop:
    mov eax, [rbx]
    dec r10
    jnz .loop
    ret

%macro OPERATION 1
    %defstr %%name %1
    dq %1
%%begin:
    db %%name
    times NAME_SIZE - ($ - %%begin) db 0
%endmacro

align 8
operations:
    OPERATION nothing
    OPERATION cpuid_0
    OPERATION cpuid_1
    OPERATION hypercall
    OPERATION read_msr
    OPERATION read_local_apic
    OPERATION write_port
    OPERATION read_port
    OPERATION write_unclaimed_port
    OPERATION write_memory
    OPERATION read_memory
    dq 0
image_end:
