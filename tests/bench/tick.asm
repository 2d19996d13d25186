; SPDX-License-Identifier: GPL-2.0-or-later
; Prints the time-stamp counter; as a kernel's first process, then switches the machine off. A program of its own, and
; small, so that it costs nothing beside what it measures.
BITS 64

SYS_WRITE equ 1
SYS_GETPID equ 39
SYS_EXIT equ 60
SYS_REBOOT equ 169
REBOOT_MAGIC1 equ 0xFEE1DEAD
REBOOT_MAGIC2 equ 672274793
REBOOT_POWER_OFF equ 0x4321FEDC

section .text
global _start
_start:
    rdtsc
    shl rdx, 32
    or rax, rdx
    lea rsi, [rel line_end]
    mov ebx, 10
.digit:
    xor edx, edx
    div rbx
    add dl, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jnz .digit
    lea rdx, [rel line_end + 1]
    sub rdx, rsi
    mov edi, 1
    mov eax, SYS_WRITE
    syscall
    mov eax, SYS_GETPID
    syscall
    cmp eax, 1
    jne .exit
    mov edi, REBOOT_MAGIC1
    mov esi, REBOOT_MAGIC2
    mov edx, REBOOT_POWER_OFF
    mov eax, SYS_REBOOT
    syscall
.exit:
    xor edi, edi
    mov eax, SYS_EXIT
    syscall

section .data
    times 20 db 0
line_end:
    db 10
