; SPDX-License-Identifier: GPL-2.0-or-later
; What DOS and its programs do to a PC, from the boot sector of a 1.44 MB floppy: BIOS services of screen, disk,
; keyboard, memory and clock, the timers, the interrupt controllers, address line 20, unreal mode, protected mode with
; paging, virtual-8086 mode and hardware tasks. Each test prints "ok NAME" or "FAILED NAME" on the screen and on COM1,
; the last line is "dos-like: N passed, M failed"; then the debug exit port gets M.
;
; The sectors from FIRST_DATA_SECTOR on are filled with their number, and the last track is written to.
BITS 16

BOOT            equ 0x7C00
PROGRAM         equ BOOT + 512
PROGRAM_SECTORS equ 17              ; the rest of the first track
STACK           equ 0x7C00
BUFFER          equ 0x6000
COM1            equ 0x3F8
LINE_STATUS     equ COM1 + 5
DEBUG_EXIT      equ 0xF4
PIC1            equ 0x20
PIC1_MASK       equ 0x21
PIT_CHANNEL_0   equ 0x40
PIT_CHANNEL_2   equ 0x42
PIT_CONTROL     equ 0x43
PORT_B          equ 0x61
PORT_92         equ 0x92
TICKS           equ 0x46C           ; of the BIOS data area, 18.2 a second
SECTORS_A_TRACK equ 18
FIRST_DATA_TRACK equ 1
LAST_TRACK      equ 79
DATA_SECTORS    equ 100
HIGH_ADDRESS    equ 0x180000        ; somewhere above 1 MiB

; Protected mode: selectors, and where the tables that need a page are.
CODE32          equ 0x08
DATA32          equ 0x10
CODE16          equ 0x18
DATA16          equ 0x20
TASK_MAIN       equ 0x28
TASK_OTHER      equ 0x30
TASK_VIRTUAL    equ 0x38
PAGE_DIRECTORY  equ 0x20000
PAGE_TABLE      equ 0x21000
STACK32         equ 0x1F000
STACK_OTHER     equ 0x1E000
STACK_VIRTUAL   equ 0x5000          ; of the virtual-8086 program, in segment 0

org BOOT
    jmp 0:start

start:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, STACK
    mov [drive], dl
    mov ax, 0x0200 + PROGRAM_SECTORS
    mov bx, PROGRAM
    mov cx, 0x0002
    mov dh, 0
    int 0x13
    jc .unreadable
    jmp program
.unreadable:
    mov si, unreadable
.next:
    lodsb
    test al, al
    jz .stop
    mov ah, 0x0E
    mov bx, 7
    int 0x10
    jmp .next
.stop:
    hlt
    jmp .stop

unreadable db "dos-like: the rest of the program cannot be read", 13, 10, 0
drive db 0
    times 510 - ($ - $$) db 0
    dw 0xAA55

; --- output ---

; AL to both.
put_character:
    pusha
    push ax
    mov dx, LINE_STATUS
.busy:
    in al, dx
    test al, 0x20
    jz .busy
    pop ax
    mov dx, COM1
    out dx, al
    mov ah, 0x0E
    mov bx, 7
    int 0x10
    popa
    ret

; SI: text that ends with 0.
put_text:
    push ax
.next:
    lodsb
    test al, al
    jz .end
    call put_character
    jmp .next
.end:
    pop ax
    ret

; AX in decimal.
put_number:
    pusha
    mov bx, 10
    xor cx, cx
.divide:
    xor dx, dx
    div bx
    push dx
    inc cx
    test ax, ax
    jnz .divide
.digit:
    pop ax
    add al, '0'
    call put_character
    loop .digit
    popa
    ret

; --- the frame ---

program:
    mov si, tests
.next:
    lodsw
    test ax, ax
    jz .end
    mov [name], si                  ; the name follows the function
    push si
    call ax
    pop si
    cld
    sti
    push ds
    pop es
    pushf
    call report
    popf
.skip:
    lodsb
    test al, al
    jnz .skip
    jmp .next
.end:
    mov si, summary
    call put_text
    mov ax, [passed]
    call put_number
    mov si, summary_passed
    call put_text
    mov ax, [failed]
    call put_number
    mov si, summary_failed
    call put_text
    mov ax, [failed]
    mov dx, DEBUG_EXIT
    out dx, al
.stop:
    hlt
    jmp .stop

; Carry: the test failed.
report:
    push si
    mov si, text_ok
    jc .failed
    inc word [passed]
    jmp .print
.failed:
    inc word [failed]
    mov si, text_failed
.print:
    call put_text
    mov si, [name]
    call put_text
    mov si, line_end
    call put_text
    pop si
    ret

name dw 0
passed dw 0
failed dw 0
text_ok db "ok ", 0
text_failed db "FAILED ", 0
line_end db 13, 10, 0
summary db "dos-like: ", 0
summary_passed db " passed, ", 0
summary_failed db " failed", 13, 10, 0

%macro TEST 2
    dw %1
    db %2, 0
%endmacro

tests:
    TEST text_mode, "text mode"
    TEST pixels_320x200, "320x200 with 256 colours"
    TEST pixels_640x480, "640x480 with 16 colours"
    TEST disk_parameters, "parameters of the floppy drive"
    TEST disk_read, "reading the floppy across tracks"
    TEST disk_write, "writing the floppy"
    TEST disk_beyond, "reading behind the last track"
    TEST keyboard, "keyboard buffer"
    TEST ticks, "clock ticks"
    TEST timer_latch, "timer's count"
    TEST timer_gate, "timer's gate and speaker port"
    TEST timer_rate, "faster clock ticks"
    TEST interrupt_mask, "masked interrupt waits"
    TEST clock, "real-time clock"
    TEST memory_map, "memory map"
    TEST line_20, "address line 20"
    TEST unreal_mode, "unreal mode"
    TEST protected_mode, "protected mode with paging"
    TEST virtual_8086, "virtual-8086 mode"
    TEST hardware_task, "hardware task switch"
    TEST hard_disk, "hard disk by extended calls"
    dw 0

%macro EXPECT 1                     ; a condition that must hold
    j%-1 fail
%endmacro
fail:
    stc
    ret

; --- screen ---

text_mode:
    mov ax, 0x0003
    int 0x10
    mov ah, 0x0F
    int 0x10
    cmp ax, 80 << 8 | 3
    EXPECT e
    mov ah, 2                       ; cursor to line 10, column 5
    mov bh, 0
    mov dx, 0x0A05
    int 0x10
    mov ax, 0x0900 + 'X'            ; three of them in yellow on blue
    mov bx, 0x001E
    mov cx, 3
    int 0x10
    push es
    mov ax, 0xB800
    mov es, ax
    mov di, (10 * 80 + 5) * 2
    cmp word [es:di], 0x1E00 + 'X'
    jne .wrong
    cmp word [es:di + 4], 0x1E00 + 'X'
    jne .wrong
    mov word [es:di + 6], 0x4F00 + 'Y'
    mov ah, 2
    mov dx, 0x0A08
    int 0x10
    mov ah, 8                       ; what BIOS reads there
    int 0x10
    cmp ax, 0x4F00 + 'Y'
    jne .wrong
    mov ax, 0x0601                  ; one line up
    mov bh, 7
    xor cx, cx
    mov dx, 0x184F
    int 0x10
    cmp word [es:(9 * 80 + 8) * 2], 0x4F00 + 'Y'
    jne .wrong
    pop es
    mov ah, 2
    mov bh, 0
    xor dx, dx
    int 0x10
    clc
    ret
.wrong:
    pop es
    stc
    ret

; Back to text whatever came of it; keeps the flags.
to_text:
    pushf
    mov ax, 0x0003
    int 0x10
    popf
    ret

pixels_320x200:
    mov ax, 0x0013
    int 0x10
    mov ax, 0x0C00 + 0x5A           ; (100, 50)
    mov bh, 0
    mov cx, 100
    mov dx, 50
    int 0x10
    push es
    mov ax, 0xA000
    mov es, ax
    cmp byte [es:50 * 320 + 100], 0x5A
    jne .wrong
    mov byte [es:199 * 320 + 319], 0xC3
    mov ax, 0x0D00
    mov bh, 0
    mov cx, 319
    mov dx, 199
    int 0x10
    cmp al, 0xC3
    jne .wrong
    pop es
    clc
    jmp to_text
.wrong:
    pop es
    stc
    jmp to_text

; Planes: 5 is planes 0 and 2.
pixels_640x480:
    mov ax, 0x0012
    int 0x10
    mov ax, 0x0C05
    mov bh, 0
    mov cx, 17
    mov dx, 3
    int 0x10
    push es
    mov ax, 0xA000
    mov es, ax
    mov dx, 0x3CE
    mov ax, 0x0004                  ; read plane 0
    out dx, ax
    cmp byte [es:3 * 80 + 2], 0x40
    jne .wrong
    mov ax, 0x0104
    out dx, ax
    cmp byte [es:3 * 80 + 2], 0
    jne .wrong
    mov ax, 0x0204
    out dx, ax
    cmp byte [es:3 * 80 + 2], 0x40
    jne .wrong
    mov ax, 0x0D00
    mov bh, 0
    mov cx, 17
    mov dx, 3
    int 0x10
    cmp al, 5
    jne .wrong
    pop es
    clc
    jmp to_text
.wrong:
    pop es
    stc
    jmp to_text

; --- disks ---

disk_parameters:
    push es
    mov ah, 8
    mov dl, [drive]
    xor di, di
    mov es, di
    int 0x13
    pop es
    jc fail
    cmp bl, 4                       ; 1.44 MB
    EXPECT e
    cmp ch, LAST_TRACK
    EXPECT e
    cmp cl, SECTORS_A_TRACK
    EXPECT e
    cmp dh, 1
    EXPECT e
    clc
    ret

; Reads DH:CH/CL, AL sectors, into BUFFER.
read_sectors:
    mov ah, 2
    mov bx, BUFFER
    mov dl, [drive]
    int 0x13
    ret

; Data sector n, counted over both sides from FIRST_DATA_TRACK on, holds n in each byte.
disk_read:
    mov ax, 0x0000 + 8
    mov cx, FIRST_DATA_TRACK << 8 | 6
    mov dh, 0
    call read_sectors
    jc fail
    cmp al, 8
    EXPECT e
    mov al, 5
    mov si, BUFFER
.sector:
    mov cx, 512
.byte:
    cmp [si], al
    EXPECT e
    inc si
    loop .byte
    inc al
    cmp al, 5 + 8
    jne .sector
    mov al, 1                       ; the other side
    mov cx, FIRST_DATA_TRACK << 8 | 1
    mov dh, 1
    call read_sectors
    jc fail
    cmp byte [BUFFER + 511], SECTORS_A_TRACK
    EXPECT e
    mov al, 1                       ; another track
    mov cx, (FIRST_DATA_TRACK + 1) << 8 | 3
    mov dh, 0
    call read_sectors
    jc fail
    cmp byte [BUFFER], 2 * SECTORS_A_TRACK + 2
    EXPECT e
    clc
    ret

disk_write:
    mov di, BUFFER
    mov cx, 512
    mov al, 0xA7
    rep stosb
    mov ax, 0x0301
    mov bx, BUFFER
    mov cx, LAST_TRACK << 8 | SECTORS_A_TRACK
    mov dh, 1
    mov dl, [drive]
    int 0x13
    jc fail
    mov di, BUFFER
    mov cx, 512
    xor al, al
    rep stosb
    mov al, 1
    mov cx, LAST_TRACK << 8 | SECTORS_A_TRACK
    mov dh, 1
    call read_sectors
    jc fail
    cmp byte [BUFFER + 300], 0xA7
    EXPECT e
    mov ax, 0x0401                  ; verify
    mov cx, LAST_TRACK << 8 | SECTORS_A_TRACK
    mov dh, 1
    mov dl, [drive]
    int 0x13
    jc fail
    ret

disk_beyond:
    mov al, 1
    mov cx, FIRST_DATA_TRACK << 8 | (SECTORS_A_TRACK + 3)
    mov dh, 0
    call read_sectors
    cmc
    jc fail
    test ah, ah
    EXPECT nz
    xor ah, ah                      ; reset
    mov dl, [drive]
    int 0x13
    ret

hard_disk:
    mov ah, 0x41
    mov bx, 0x55AA
    mov dl, 0x80
    int 0x13
    jc fail
    cmp bx, 0xAA55
    EXPECT e
    mov ah, 0x42
    mov dl, 0x80
    mov si, packet
    int 0x13
    jc fail
    cmp dword [BUFFER], "disk"
    EXPECT e
    mov ah, 0x43                    ; write the third sector and read it again
    xor al, al
    mov dl, 0x80
    mov dword [BUFFER], "well"
    mov dword [packet.sector], 2
    mov si, packet
    int 0x13
    jc fail
    mov dword [BUFFER], 0
    mov ah, 0x42
    mov dl, 0x80
    int 0x13
    jc fail
    cmp dword [BUFFER], "well"
    EXPECT e
    clc
    ret

packet:
    db 16, 0
    dw 1
    dw BUFFER, 0
.sector dq 1

; --- keyboard ---

keyboard:
    mov ah, 1
    int 0x16
    jz .empty
    xor ah, ah
    int 0x16
    jmp keyboard
.empty:
    mov ah, 5                       ; as if F1 had been pressed
    mov cx, 0x3B00
    int 0x16
    test al, al
    EXPECT z
    mov ah, 1
    int 0x16
    EXPECT nz
    xor ah, ah
    int 0x16
    cmp ax, 0x3B00
    EXPECT e
    mov al, 0xEE                    ; echo, past the BIOS
    cli
    call keyboard_send
    jc .silent
    cmp al, 0xEE
    jne .silent
    sti
    clc
    ret
.silent:
    sti
    stc
    ret

; Sends AL to the keyboard; its answer in AL, or carry. Interrupts are off.
keyboard_send:
    mov ah, al
    xor cx, cx
.wait:
    in al, 0x64
    test al, 2
    loopnz .wait
    mov al, ah
    out 0x60, al
    xor cx, cx
.answer:
    in al, 0x64
    test al, 1
    loopz .answer
    jz .none
    in al, 0x60
    clc
    ret
.none:
    stc
    ret

; --- timers and interrupts ---

ticks:
    mov ax, [TICKS]
    add ax, 3
    mov ecx, -1                     ; whoever runs the test has a limit
.wait:
    cmp ax, [TICKS]
    je .came
    dec ecx
    jnz .wait
    stc
    ret
.came:
    hlt                             ; and one more ends a HLT
    clc
    ret

; Channel 0's count in AX.
latch_0:
    xor al, al
    out PIT_CONTROL, al
    in al, PIT_CHANNEL_0
    mov ah, al
    in al, PIT_CHANNEL_0
    xchg al, ah
    ret

timer_latch:
    mov cx, 1000
    call latch_0
    mov bx, ax
.look:
    call latch_0
    cmp ax, bx
    loope .look
    EXPECT ne
    clc
    ret

; Channel 2 in mode 0 counts only while its gate is open, and its output, bit 5, says when it is done.
timer_gate:
    in al, PORT_B
    and al, 0xFC
    out PORT_B, al
    mov al, 0xB0
    out PIT_CONTROL, al
    mov al, 0x00
    out PIT_CHANNEL_2, al
    mov al, 0x10
    out PIT_CHANNEL_2, al
    mov cx, 2000
.closed:
    in al, PORT_B
    test al, 0x20
    EXPECT z
    loop .closed
    in al, PORT_B
    or al, 1
    out PORT_B, al
    mov ecx, 2000000
.open:
    in al, PORT_B
    test al, 0x20
    jnz .done
    dec ecx
    jnz .open
    stc
    ret
.done:
    in al, PORT_B
    and al, 0xFC
    out PORT_B, al
    clc
    ret

; At 1,193 ticks a second the handler's counter passes 20 while that of the slow clock would be at 1.
timer_rate:
    cli
    mov eax, [0x08 * 4]
    mov [old_timer], eax
    mov word [0x08 * 4], count_tick
    mov word [0x08 * 4 + 2], 0
    mov word [counted], 0
    mov al, 0x34
    out PIT_CONTROL, al
    mov al, 1000 & 0xFF
    out PIT_CHANNEL_0, al
    mov al, 1000 >> 8
    out PIT_CHANNEL_0, al
    sti
    mov cx, 40
.wait:
    hlt
    cmp word [counted], 20
    jae .enough
    loop .wait
.enough:
    cli
    mov eax, [old_timer]
    mov [0x08 * 4], eax
    mov al, 0x36
    out PIT_CONTROL, al
    xor al, al
    out PIT_CHANNEL_0, al
    out PIT_CHANNEL_0, al
    sti
    cmp word [counted], 20
    EXPECT ae
    clc
    ret

count_tick:
    push ax
    inc word [cs:counted]
    mov al, 0x20
    out PIC1, al
    pop ax
    iret

old_timer dd 0
counted dw 0

; IRQ 0 is seen in the request register while it is masked, and comes when it is not.
interrupt_mask:
    in al, PIC1_MASK
    mov bl, al
    or al, 1
    out PIC1_MASK, al
    mov ecx, 5000000
    mov al, 0x0A
    out PIC1, al
.request:
    in al, PIC1
    test al, 1
    jnz .seen
    dec ecx
    jnz .request
    mov al, bl
    out PIC1_MASK, al
    stc
    ret
.seen:
    mov ax, [TICKS]
    mov cx, 1000
.quiet:
    cmp ax, [TICKS]
    loope .quiet
    jne .early
    mov dx, [TICKS]                 ; it may come at once
    mov al, bl
    out PIC1_MASK, al
    mov cx, 10000
.come:
    cmp dx, [TICKS]
    loope .come
    EXPECT ne
    clc
    ret
.early:
    mov al, bl
    out PIC1_MASK, al
    stc
    ret

clock:
    mov ah, 2
    int 0x1A
    jc fail
    cmp ch, 0x23                    ; BCD
    EXPECT be
    mov ah, 4
    int 0x1A
    jc fail
    cmp ch, 0x20
    EXPECT e
    mov al, 0x0F                    ; memory of the clock keeps a byte
    out 0x70, al
    in al, 0x71
    mov bl, al
    mov al, 0x5F
    out 0x70, al
    mov al, 0x3C
    out 0x71, al
    mov al, 0x5F
    out 0x70, al
    in al, 0x71
    cmp al, 0x3C
    EXPECT e
    clc
    ret

; --- memory ---

memory_map:
    int 0x12
    cmp ax, 512
    EXPECT ae
    mov ah, 0x88
    int 0x15
    jc fail
    cmp ax, 1024
    EXPECT ae
    xor ebx, ebx
    mov byte [usable], 0
.entry:
    mov eax, 0xE820
    mov edx, "PAMS"
    mov ecx, 20
    mov di, BUFFER
    int 0x15
    jc fail
    cmp eax, "PAMS"
    EXPECT e
    cmp dword [BUFFER], 0x100000    ; the memory above 1 MiB
    jne .next
    cmp dword [BUFFER + 16], 1
    EXPECT e
    mov byte [usable], 1
.next:
    test ebx, ebx
    jnz .entry
    cmp byte [usable], 1
    EXPECT e
    clc
    ret
usable db 0

; ZF: FFFF:0510 is 0000:0500, so that line 20 is off.
wraps:
    push es
    mov ax, 0xFFFF
    mov es, ax
    mov byte [0x500], 0x11
    mov byte [es:0x510], 0x22
    cmp byte [0x500], 0x22
    pop es
    ret

line_20:
    mov ax, 0x2401
    int 0x15
    jc fail
    call wraps
    EXPECT ne
    mov ax, 0x2400
    int 0x15
    jc fail
    call wraps
    EXPECT e
    in al, PORT_92
    or al, 2
    and al, 0xFE
    out PORT_92, al
    call wraps
    EXPECT ne
    mov ax, 0x2402
    int 0x15
    jc fail
    cmp al, 1
    EXPECT e
    clc
    ret

; Data segments with a limit of 4 GiB in real mode.
unreal_mode:
    cli
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp .protected
.protected:
    mov bx, DATA32
    mov fs, bx
    and al, 0xFE
    mov cr0, eax
    xor bx, bx
    mov fs, bx
    sti
    mov ebx, HIGH_ADDRESS
    mov dword [fs:ebx], 0x600DF00D
    hlt                             ; an interrupt leaves the limit alone
    cmp dword [fs:ebx], 0x600DF00D
    EXPECT e
    clc
    ret

; --- protected mode ---

align 8
gdt:
    dq 0
    dq 0x00CF9A000000FFFF           ; CODE32
    dq 0x00CF92000000FFFF           ; DATA32
    dq 0x00009A000000FFFF           ; CODE16
    dq 0x000092000000FFFF           ; DATA16
%macro TASK_DESCRIPTOR 1
    dw 103
    dw %1 - $$ + BOOT
    db 0, 0x89, 0, 0
%endmacro
    TASK_DESCRIPTOR task_main
    TASK_DESCRIPTOR task_other
    TASK_DESCRIPTOR task_virtual
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
    dd gdt
real_idt_pointer:
    dw 0x3FF
    dd 0

align 8
idt32:
    times 13 dq 0
    dw on_protection - $$ + BOOT, CODE32, 0x8E00, 0
    dw on_page_fault - $$ + BOOT, CODE32, 0x8E00, 0
    times 0x30 - 15 dq 0
    dw on_call - $$ + BOOT, CODE32, 0x8E00, 0
idt32_end:
idt32_pointer:
    dw idt32_end - idt32 - 1
    dd idt32

align 4
task_main times 104 db 0
task_other times 104 db 0
task_virtual times 104 db 0

; Runs EBX in 32-bit protected mode with paging; carry if it says so. Interrupts are off meanwhile.
in_protected_mode:
    cli
    mov [real_stack], sp
    lgdt [gdt_pointer]
    lidt [idt32_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword CODE32:.protected
BITS 32
.protected:
    mov ax, DATA32
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, STACK32
    and byte [gdt + TASK_MAIN + 5], ~2 ; not busy
    and byte [gdt + TASK_OTHER + 5], ~2
    and byte [gdt + TASK_VIRTUAL + 5], ~2
    mov edi, PAGE_TABLE             ; 4 MiB at their own addresses, but for page HIGH_ADDRESS + 1000h
    mov eax, 7
    mov ecx, 1024
.map:
    stosd
    add eax, 0x1000
    loop .map
    mov dword [PAGE_TABLE + (HIGH_ADDRESS + 0x1000) / 0x400], 0
    mov dword [PAGE_DIRECTORY], PAGE_TABLE + 7
    mov eax, PAGE_DIRECTORY
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    jmp .paging
.paging:
    mov dword [faults], 0
    call ebx
    setc [outcome]
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax
    xor eax, eax
    mov cr3, eax
    jmp CODE16:.protected16
BITS 16
.protected16:
    mov ax, DATA16                  ; what all of them have to be in real mode (SDM vol. 3A, 9.9.2)
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov eax, cr0
    and al, 0xFE
    mov cr0, eax
    jmp 0:.real
.real:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov ss, ax
    mov sp, [real_stack]
    lidt [real_idt_pointer]
    sti
    cmp byte [outcome], 1
    cmc
    ret

real_stack dw 0
outcome db 0

protected_mode:
    mov ebx, .test
    jmp in_protected_mode
BITS 32
.test:
    mov eax, 5
    int 0x30                        ; an interrupt gate
    cmp eax, 6
    jne .wrong
    mov dword [HIGH_ADDRESS], 0x12345678
    mov eax, [HIGH_ADDRESS + 0x1000] ; a page that comes with its fault
    cmp dword [faults], 1
    jne .wrong
    cmp dword [fault_address], HIGH_ADDRESS + 0x1000
    jne .wrong
    cmp eax, 0x12345678             ; where the handler put it
    jne .wrong
    clc
    ret
.wrong:
    stc
    ret

on_call:
    inc eax
    iretd

; Maps what is missing to the page before it.
on_page_fault:
    push eax
    mov eax, cr2
    mov [fault_address], eax
    shr eax, 12
    push ebx
    lea ebx, [eax * 4 + PAGE_TABLE]
    dec eax
    shl eax, 12
    or al, 7
    mov [ebx], eax
    pop ebx
    inc dword [faults]
    pop eax
    add esp, 4
    iretd
BITS 16
align 4
faults dd 0
fault_address dd 0

; A program in virtual-8086 mode: its HLT is a protection fault, whose handler looks at what it did and goes on behind
; the IRETD that began it.
virtual_8086:
    mov ebx, .test
    jmp in_protected_mode
BITS 32
.test:
    mov dword [task_virtual + 4], STACK_OTHER ; the stack of faults
    mov dword [task_virtual + 8], DATA32
    mov word [task_virtual + 102], 104 ; no map of ports
    mov ax, TASK_VIRTUAL
    ltr ax
    mov [protected_stack], esp
    mov word [0x520], 0
    push dword 0                    ; GS, FS, DS, ES
    push dword 0
    push dword 0
    push dword 0
    push dword 0                    ; SS:ESP
    push dword STACK_VIRTUAL
    push dword 0x20002              ; VM
    push dword 0
    push dword .virtual
    iretd
BITS 16
.virtual:
    mov ax, 0x52                    ; a segment is a paragraph
    mov es, ax
    mov word [es:0], 0xCAFE
    hlt
BITS 32
on_protection:
    mov ax, DATA32                  ; the interrupt has made null of all but SS
    mov ds, ax
    mov es, ax
    mov esp, [protected_stack]
    cmp word [0x520], 0xCAFE
    jne .wrong
    clc
    ret
.wrong:
    stc
    ret
BITS 16
align 4
protected_stack dd 0

; A far jump to a task, which comes back by another.
hardware_task:
    mov ebx, .test
    jmp in_protected_mode
BITS 32
.test:
    mov ax, TASK_MAIN
    ltr ax
    mov eax, cr3
    mov [task_main + 28], eax
    mov [task_other + 28], eax
    mov dword [task_other + 32], .other
    mov dword [task_other + 36], 2
    mov dword [task_other + 40], 41 ; EAX
    mov dword [task_other + 56], STACK_OTHER
    mov dword [task_other + 72], DATA32 ; ES, CS, SS, DS
    mov dword [task_other + 76], CODE32
    mov dword [task_other + 80], DATA32
    mov dword [task_other + 84], DATA32
    mov dword [fault_address], 0
    mov ecx, 7
    jmp TASK_OTHER:0
    cmp ecx, 7                      ; this task's own
    jne .wrong
    cmp dword [fault_address], 42
    jne .wrong
    str ax
    cmp ax, TASK_MAIN
    jne .wrong
    mov eax, cr0
    test al, 8                      ; TS
    jz .wrong
    clts
    clc
    ret
.wrong:
    stc
    ret
.other:
    inc eax
    mov [fault_address], eax
    mov ecx, 1
    jmp TASK_MAIN:0
BITS 16

program_end:
    times PROGRAM_SECTORS * 512 + PROGRAM - BOOT - ($ - $$) db 0
; --- the floppy's data: tracks behind the first, two sides with 18 sectors each ---
    times FIRST_DATA_TRACK * 2 * SECTORS_A_TRACK * 512 - ($ - $$) db 0
%assign number 0
%rep DATA_SECTORS
    times 512 db number
%assign number number + 1
%endrep
    times 80 * 2 * SECTORS_A_TRACK * 512 - ($ - $$) db 0
