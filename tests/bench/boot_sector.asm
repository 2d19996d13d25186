; SPDX-License-Identifier: GPL-2.0-or-later
; A boot sector that says on COM1 what the TSC is when it begins, "boot TICKS", and switches the machine off: the time
; since power-on, where a tick is a virtual nanosecond.
BITS 16
COM1 equ 0x3F8
PM1_CONTROL equ 0x604               ; where SeaBIOS puts it
PM1_SLEEP_ENABLE equ 0x2000         ; with sleep type 0: off
org 0x7C00

    rdtsc
    cli
    xor bx, bx
    mov ds, bx
    mov ss, bx
    mov sp, 0x7C00
    mov [ticks], eax                ; less than four seconds
    mov si, text
.next:
    lodsb
    test al, al
    jz .number
    call put
    jmp .next
.number:
    mov eax, [ticks]
    mov ebx, 10
    xor cx, cx
.divide:
    xor edx, edx
    div ebx
    push dx
    inc cx
    test eax, eax
    jnz .divide
.digit:
    pop ax
    add al, '0'
    call put
    loop .digit
    mov al, 10
    call put
    mov dx, PM1_CONTROL
    mov ax, PM1_SLEEP_ENABLE
    out dx, ax
.stop:
    hlt
    jmp .stop

put:
    mov dx, COM1
    out dx, al
    ret

text db 10, "boot ", 0
ticks dd 0
    times 510 - ($ - $$) db 0
    dw 0xAA55
    times 1474560 - ($ - $$) db 0
