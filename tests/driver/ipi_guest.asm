; SPDX-License-Identifier: GPL-2.0-or-later
; A guest whose VPs send each other interrupts in every way that there is. All of its state is on the board, which
; ipi_test.c knows as struct board.
;
; Each VP is a sender until its quota is used up, and always a receiver. A round is one command of its ICR, by chance
; to one VP or several. Each receiver counts it and answers with an interrupt of its own; the next round begins when
; all have answered, so that no two interrupts may merge in a receiver. NMIs have no vector: who has sent one is in the
; receiver's mask. Who waits halts most of the time: a lost interrupt or wake-up stops the guest. EBP is always the
; VP's number.

%include "tests/driver/ipi_guest.inc"

CODE equ 0x1000
IDT equ 0x5000
IDT_ENTRIES equ 0x100
STACKS equ 0x10000
STACK_SIZE equ 0x1000
MOST_VPS equ 8

APIC equ 0xFEE00000
APIC_EOI equ 0xB0
APIC_LDR equ 0xD0
APIC_DFR equ 0xE0
APIC_SPURIOUS equ 0xF0
APIC_ICR equ 0x300
APIC_DESTINATION equ 0x310
APIC_SELF equ 0x3F0
MSR_APIC_BASE equ 0x1B
MSR_X2APIC equ 0x800
ENABLE_X2APIC equ 0xC00
APIC_ENABLED equ 0x1FF

LOWEST equ 0x100
NMI equ 0x400
INIT equ 0x500
STARTUP equ 0x600
LOGICAL equ 0x800
ASSERT equ 0x4000
TO_SELF equ 0x40000
TO_ALL equ 0x80000
TO_OTHERS equ 0xC0000

FLAT equ 0
CLUSTER equ 1
X2APIC equ 2

NMI_VECTOR equ 2
REQUESTS equ 0x40                   ; + sender
REPLIES equ 0x50                    ; + receiver

org CODE
BITS 16
    jmp 0:start                     ; CS is 0 for the boot VP, CODE / 16 after a SIPI
start:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:protected

align 8
gdt:
    dq 0
    dq 0x00CF9B000000FFFF
    dq 0x00CF93000000FFFF
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd gdt
idt_pointer:
    dw IDT_ENTRIES * 8 - 1
    dd IDT

BITS 32
protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, 1
    cpuid
    shr ebx, 24
    mov ebp, ebx
    inc ebx
    imul ebx, STACK_SIZE
    lea esp, [STACKS + ebx]
    call enable_apic
    test ebp, ebp
    jnz .ready
    call make_idt
    mov eax, TO_OTHERS | ASSERT | INIT
    call send
    mov eax, TO_OTHERS | ASSERT | STARTUP | (CODE >> 12)
    call send
.ready:
    lidt [idt_pointer]
    lock inc dword [BOARD_READY]
.wait:
    pause
    mov eax, [BOARD_VPS]
    cmp [BOARD_READY], eax
    jne .wait
    imul eax, ebp, 0x9E3779B1       ; each VP has its own chances
    add [BOARD_RANDOM + ebp * 4], eax
    sti

round:
    mov eax, [BOARD_SENT + ebp * 4]
    cmp eax, [BOARD_QUOTA + ebp * 4]
    jae finished
    inc dword [BOARD_ROUNDS + ebp * 4]
    call random
    xor edx, edx
    mov ecx, KINDS
    div ecx
    xor esi, esi                    ; receivers of an NMI
    call [kinds + edx * 4]
    cli
    mov [BOARD_PENDING + ebp * 4], ebx
    add [BOARD_SENT + ebp * 4], ebx
    call announce_nmi
    call send
wait_for_replies:
    cli
    cmp dword [BOARD_PENDING + ebp * 4], 0
    je .all
    call random
    test al, 31
    jz .spin
    inc dword [BOARD_HALTS + ebp * 4]
    sti
    hlt
    jmp wait_for_replies
.spin:
    sti
    pause
    jmp wait_for_replies
.all:
    sti
    call random
    and eax, 63
.linger:
    pause
    dec eax
    jns .linger
    jmp round

finished:
    out PORT_FINISHED, al
.idle:
    sti
    hlt
    jmp .idle

; --- kinds of rounds: EAX: the command, EDX: its destination, EBX: how many receive it, ESI: for an NMI, which ---

kinds:
    dd physical, logical, self, all, others, lowest, physical_broadcast, nmi_physical, nmi_logical, nmi_others
KINDS equ ($ - kinds) / 4

physical:
    call random_vp
    lea eax, [ebp + ASSERT + REQUESTS]
    mov ebx, 1
    ret

logical:
    call random_set
    lea eax, [ebp + LOGICAL + ASSERT + REQUESTS]
    ret

self:
    lea eax, [ebp + TO_SELF + ASSERT + REQUESTS]
    mov ebx, 1
    ret

all:
    lea eax, [ebp + TO_ALL + ASSERT + REQUESTS]
    mov ebx, [BOARD_VPS]
    ret

others:
    lea eax, [ebp + TO_OTHERS + ASSERT + REQUESTS]
    mov ebx, [BOARD_VPS]
    dec ebx
    ret

lowest:
    call random_set
    lea eax, [ebp + LOWEST + LOGICAL + ASSERT + REQUESTS]
    mov ebx, 1
    ret

physical_broadcast:
    mov edx, -1
    lea eax, [ebp + ASSERT + REQUESTS]
    mov ebx, [BOARD_VPS]
    ret

nmi_physical:
    call random_vp
    bts esi, edx
    mov eax, ASSERT | NMI
    mov ebx, 1
    ret

nmi_logical:
    call random_set
    mov esi, ecx
    mov eax, LOGICAL | ASSERT | NMI
    ret

nmi_others:
    mov ecx, [BOARD_VPS]
    bts esi, ecx
    dec esi
    btr esi, ebp
    mov eax, TO_OTHERS | ASSERT | NMI
    lea ebx, [ecx - 1]
    ret

; EDX: a VP.
random_vp:
    call random
    xor edx, edx
    div dword [BOARD_VPS]
    ret

; ECX: some VPs, EDX: the logical destination that names them, EBX: their number.
random_set:
    call random
    mov ecx, [BOARD_VPS]
    xor edx, edx
    bts edx, ecx
    dec edx
    mov ecx, eax
    shr ecx, 8
    and ecx, edx
    jnz .some
    mov ecx, 1
.some:
    mov edx, ecx
    cmp dword [BOARD_MODE], CLUSTER
    jne .named
    test al, 1
    jz .low
    and ecx, 0xF0                   ; the VPs 4 to 7 are the second cluster
    jz .low_of_none
    mov edx, ecx
    shr edx, 4
    or edx, 0x10
    jmp .named
.low_of_none:
    mov ecx, edx
.low:
    and ecx, 0xF
    jnz .some_low
    mov ecx, 1
.some_low:
    mov edx, ecx
.named:
    popcnt ebx, ecx
    ret

; EAX: 32 bits by chance, the best ones on top (a linear congruence).
random:
    imul eax, [BOARD_RANDOM + ebp * 4], 1664525
    add eax, 1013904223
    mov [BOARD_RANDOM + ebp * 4], eax
    rol eax, 13
    ret

; --- the local APIC ---

enable_apic:
    cmp dword [BOARD_MODE], X2APIC
    jne .spurious
    mov ecx, MSR_APIC_BASE
    rdmsr
    or eax, ENABLE_X2APIC
    wrmsr
.spurious:
    mov ecx, APIC_SPURIOUS
    mov eax, APIC_ENABLED
    call write_apic
    mov ecx, ebp
    mov eax, 1
    cmp dword [BOARD_MODE], CLUSTER
    ja .done
    jb .flat
    and ecx, 3
    shl eax, cl
    mov ecx, ebp
    shr ecx, 2
    shl ecx, 4
    or eax, ecx
    mov dword [APIC + APIC_DFR], 0x0FFFFFFF
    jmp .logical
.flat:
    shl eax, cl
.logical:
    shl eax, 24
    mov [APIC + APIC_LDR], eax
.done:
    ret

; ECX: the register, EAX: its value. Clobbers ECX, EDX.
write_apic:
    cmp dword [BOARD_MODE], X2APIC
    je .msr
    mov [APIC + ecx], eax
    ret
.msr:
    shr ecx, 4
    add ecx, MSR_X2APIC
    xor edx, edx
    wrmsr
    ret

; EAX: the command, EDX: its destination. IF is 0. Clobbers ECX, EDX.
send:
    mov ecx, MSR_X2APIC + (APIC_ICR >> 4)
    cmp dword [BOARD_MODE], X2APIC
    je .msr
    shl edx, 24
    mov [APIC + APIC_DESTINATION], edx
    mov [APIC + APIC_ICR], eax
    ret
.msr:
    mov ecx, eax
    and ecx, TO_OTHERS
    cmp ecx, TO_SELF                ; for which there is a register of its own
    mov ecx, MSR_X2APIC + (APIC_ICR >> 4)
    jne .write
    movzx eax, al
    xor edx, edx
    mov ecx, MSR_X2APIC + (APIC_SELF >> 4)
.write:
    wrmsr
    ret

; Tells the VPs in ESI who sends them an NMI. Clobbers ECX.
announce_nmi:
    xor ecx, ecx
.next:
    btr esi, ecx
    jnc .not
    push edx
    lea edx, [BOARD_NMI_FROM + ecx * 4]
    lock bts [edx], ebp
    pop edx
.not:
    inc ecx
    cmp ecx, MOST_VPS
    jb .next
    ret

; --- interrupts ---

make_idt:
    mov ecx, IDT_ENTRIES
    mov eax, unexpected
.all:
    dec ecx
    call set_gate
    jnz .all
    mov ecx, NMI_VECTOR
    mov eax, nmi
    call set_gate
    mov ecx, VECTOR_END
    mov eax, end
    call set_gate
    mov ebx, MOST_VPS - 1
.pair:
    lea ecx, [REQUESTS + ebx]
    lea eax, [requests + ebx * 8]
    call set_gate
    lea ecx, [REPLIES + ebx]
    mov eax, reply
    call set_gate
    dec ebx
    jns .pair
    ret

; ECX: the vector, EAX: its handler. Flags are those of ECX.
set_gate:
    mov [IDT + ecx * 8], ax
    mov word [IDT + ecx * 8 + 2], 8
    mov dword [IDT + ecx * 8 + 4], 0x8E00 ; code is below 64 KiB
    test ecx, ecx
    ret

align 8
requests:
%assign sender 0
%rep MOST_VPS
    push byte sender
    jmp near request
    align 8
%assign sender sender + 1
%endrep

request:
    pushad
    mov ebx, [esp + 32]
    call count
    xor eax, eax
    mov ecx, APIC_EOI
    call write_apic
    call answer
    popad
    add esp, 4
    iretd

; EBX: the sender.
count:
    lea ecx, [ebx + ebp * 8]
    inc dword [BOARD_RECEIVED + ecx * 4]
    ret

answer:
    lea eax, [ebp + ASSERT + REPLIES]
    mov edx, ebx
    jmp send

reply:
    pushad
    inc dword [BOARD_REPLIES + ebp * 4]
    dec dword [BOARD_PENDING + ebp * 4]
    xor eax, eax
    mov ecx, APIC_EOI
    call write_apic
    popad
    iretd

; It may come between the two halves of a command.
nmi:
    pushad
    xor esi, esi
    xchg esi, [BOARD_NMI_FROM + ebp * 4]
    cmp dword [BOARD_MODE], X2APIC
    je .senders
    mov edi, [APIC + APIC_DESTINATION]
.senders:
    bsf ebx, esi
    jz .done
    btr esi, ebx
    call count
    call answer
    jmp .senders
.done:
    cmp dword [BOARD_MODE], X2APIC
    je .return
    mov [APIC + APIC_DESTINATION], edi
.return:
    popad
    iretd

end:
    pushad
    out PORT_END, al
    xor eax, eax
    mov ecx, APIC_EOI
    call write_apic
    popad
    iretd

unexpected:
    pop dword [BOARD_UNEXPECTED]    ; RIP, or an error code
    out PORT_UNEXPECTED, al
    hlt
