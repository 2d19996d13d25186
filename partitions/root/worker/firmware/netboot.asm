; SPDX-License-Identifier: GPL-2.0-or-later
; An option ROM that offers firmware one more thing to boot, "Network (iPXE)" (Plug and Play BIOS Specification 1.0A,
; chapter 3: a bootstrap entry vector). It gets a kernel image from the firmware configuration device, puts it where
; Linux's boot protocol wants it (Documentation/arch/x86/boot.rst, the 16-bit entry), and goes there.
;
; CHECKSUM: the last byte, which makes all of them sum to zero.
BITS 16
org 0

%define BLOCK           512
%define BLOCKS          2

%define DMA_HIGH        0x514
%define DMA_LOW         0x518
%define DMA_ERROR       0x01
%define DMA_READ        0x02
%define DMA_SELECT      0x08
%define DIRECTORY       0x19
%define ENTRY_SIZE      64
%define ENTRY_KEY       4               ; offsets in an entry of the directory
%define ENTRY_NAME      8

; In segment 0, where a boot sector would be.
%define COMMAND         0x7C00          ; of DMA: control, length, address; big-endian
%define COMMAND_SWAPPED 0x007C0000
%define ENTRY           0x7C10

%define SETUP           0x10000         ; the image's real-mode part goes there, with its stack and heap
%define SETUP_SEGMENT   0x1000
%define SETUP_STACK     0xFFF0
%define SETUP_HEAP_END  0xE000
%define SETUP_HEADER    1024            ; read first, to know how long the setup is
%define MOST_SECTORS    64              ; of setup, with the first
%define SYSTEM          0x100000        ; and the rest there

; The setup header.
%define SETUP_SECTORS   0x1F1
%define MAGIC           0x202
%define LOADER          0x210
%define LOAD_FLAGS      0x211
%define HEAP_END        0x224
%define LOADED_HIGH     0x01
%define CAN_USE_HEAP    0x80
%define OTHER_LOADER    0xFF

%define IPL_ATTACHED    0x20            ; status of the initialization: there is something to boot
%define NETWORK_CLASS   0x02
%define INDICATORS      0x14            ; may be booted, ROM is needed only for that

%define LOW(label)      ((label - rom) & 0xFF)
%define HIGH(label)     ((label - rom) >> 8)

rom:
    dw 0xAA55
    db BLOCKS
    jmp near initialize
    times 0x18 - ($ - rom) db 0
    dw 0                                ; no PCI data: the ROM is no device's
    dw pnp

pnp:
    db "$PnP"
    db 1                                ; revision
    db (pnp_end - pnp) / 16
    dw 0                                ; no other header
    db 0
    db -('$' + 'P' + 'n' + 'P' + 1 + (pnp_end - pnp) / 16 + LOW(manufacturer) + HIGH(manufacturer) + \
         LOW(product) + HIGH(product) + NETWORK_CLASS + INDICATORS + LOW(boot) + HIGH(boot)) & 0xFF
    dd 0
    dw manufacturer
    dw product
    db NETWORK_CLASS, 0, 0
    db INDICATORS
    dw 0                                ; no boot connection vector
    dw 0                                ; no disconnect vector
    dw boot                             ; bootstrap entry vector
    dw 0
    dw 0                                ; no static resources
pnp_end:

manufacturer: db "Loam", 0
product: db "Network (iPXE)", 0
file: db "opt/loam/netboot", 0
file_end:
loading: db "Loading iPXE", 13, 10, 0
missing: db "There is no image to boot from the network.", 13, 10, 0
damaged: db "The image to boot from the network is damaged.", 13, 10, 0

initialize:
    mov ax, IPL_ATTACHED
    retf

boot:
    cld
    push cs
    pop ds
    xor ax, ax
    mov es, ax
    mov si, loading
    call print
    call find_file
    mov si, missing
    jc fail
    call load
    mov si, damaged
    jc fail
    mov ax, SETUP_SEGMENT
    cli
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov sp, SETUP_STACK
    sti
    jmp SETUP_SEGMENT + 0x20:0

fail:
    call print
    int 0x18                            ; the firmware goes on with what is next
    retf

; EAX = the file's selector, in the upper half, EBX = its size; carry: there is none.
find_file:
    mov eax, DIRECTORY << 16 | DMA_SELECT | DMA_READ
    mov ecx, 4
    mov edi, ENTRY
    call transfer
    jc .end
    mov ebx, [es:ENTRY]
    bswap ebx
.next:
    sub ebx, 1
    jc .end
    mov eax, DMA_READ
    mov ecx, ENTRY_SIZE
    mov edi, ENTRY
    call transfer
    jc .end
    mov si, file
    mov di, ENTRY + ENTRY_NAME
    mov cx, file_end - file
    repe cmpsb
    jne .next
    mov ebx, [es:ENTRY]
    bswap ebx
    mov ax, [es:ENTRY + ENTRY_KEY]
    xchg al, ah
    shl eax, 16
    clc
.end:
    ret

; EAX = selector, EBX = size, as find_file returns them; carry: it is not what it should be.
load:
    cmp ebx, SETUP_HEADER
    jb .end
    or eax, DMA_SELECT | DMA_READ
    mov ecx, SETUP_HEADER
    mov edi, SETUP
    call transfer
    jc .end
    mov ax, SETUP_SEGMENT
    mov fs, ax
    cmp dword [fs:MAGIC], "HdrS"
    jne .bad
    test byte [fs:LOAD_FLAGS], LOADED_HIGH
    jz .bad
    movzx ecx, byte [fs:SETUP_SECTORS]
    test cl, cl
    jz .bad
    inc cx
    cmp cx, MOST_SECTORS
    ja .bad
    shl ecx, 9
    sub ebx, ecx
    jc .end
    mov eax, DMA_READ
    sub ecx, SETUP_HEADER
    mov edi, SETUP + SETUP_HEADER
    call transfer
    jc .end
    mov eax, DMA_READ
    mov ecx, ebx
    mov edi, SYSTEM
    call transfer
    jc .end
    mov byte [fs:LOADER], OTHER_LOADER
    or byte [fs:LOAD_FLAGS], CAN_USE_HEAP
    mov word [fs:HEAP_END], SETUP_HEAP_END - 0x200
    clc
    ret
.bad:
    stc
.end:
    ret

; A DMA command: EAX = control, ECX = bytes, EDI = where to. Carry: it failed. EAX, ECX, EDX, EDI change.
transfer:
    bswap eax
    bswap ecx
    bswap edi
    mov [es:COMMAND], eax
    mov [es:COMMAND + 4], ecx
    mov dword [es:COMMAND + 8], 0
    mov [es:COMMAND + 12], edi
    xor eax, eax
    mov dx, DMA_HIGH
    out dx, eax
    mov eax, COMMAND_SWAPPED
    mov dx, DMA_LOW
    out dx, eax
.wait:
    mov eax, [es:COMMAND]
    bswap eax
    test eax, ~DMA_ERROR
    jnz .wait
    shr eax, 1                          ; DMA_ERROR
    ret

; The string at SI. AX, BX, SI change.
print:
    lodsb
    test al, al
    jz .end
    mov ah, 0x0E
    mov bx, 7
    int 0x10
    jmp print
.end:
    ret

    times BLOCKS * BLOCK - 1 - ($ - rom) db 0
    db CHECKSUM
