/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that copies: through the BIOS, and so through virtio-blk, it reads 4 MiB from sector 2048 on, 64
 * sectors a time, and writes them from sector 16384 on, compares what it reads back from there, and says on the first
 * serial port "copied" or "failed". Then it sleeps.
 */
        .code16
        .text
        .globl _start
_start: cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $0x7c00, %sp
        mov     %dl, drive
        sti
        cld

next:   mov     from, %eax
        mov     $0x1000, %bx
        mov     $0x42, %ch
        call    transfer
        mov     to, %eax
        mov     $0x1000, %bx
        mov     $0x43, %ch
        call    transfer
        mov     to, %eax
        mov     $0x2000, %bx
        mov     $0x42, %ch
        call    transfer
        push    %ds
        mov     $0x1000, %ax
        mov     %ax, %ds
        mov     $0x2000, %ax
        mov     %ax, %es
        xor     %si, %si
        xor     %di, %di
        mov     $0x4000, %cx
        repe    cmpsw
        pop     %ds
        jne     failed
        addl    $64, from
        addl    $64, to
        cmpl    $(2048 + 8192), from
        jb      next
        mov     $copied, %si
        jmp     say

failed: xor     %ax, %ax
        mov     %ax, %ds
        mov     $bad, %si
say:    lodsb
        test    %al, %al
        jz      sleep
        mov     $0x3f8, %dx
        out     %al, %dx
        jmp     say
sleep:  hlt
        jmp     sleep

/* 64 sectors at sector %eax from or to segment %bx; %ch is the BIOS's function */
transfer:
        mov     %eax, sector
        mov     %bx, segment
        mov     %ch, %ah
        xor     %al, %al
        mov     drive, %dl
        mov     $packet, %si
        int     $0x13
        jc      failed
        ret

copied: .asciz  "copied\n"
bad:    .asciz  "failed\n"
drive:  .byte   0
        .balign 4
from:   .long   2048
to:     .long   16384
packet: .byte   16, 0
        .word   64
        .word   0
segment:
        .word   0
sector: .long   0, 0

        .org    510
        .word   0xaa55
