/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small VM for the tests: RAM at guest address 0, VPs in real mode. A function that fails ends the test. */
#ifndef TESTS_DRIVER_MACHINE_H
#define TESTS_DRIVER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "hv/hypercall.h"
#include "hv/message.h"
#include "hv/registers.h"
#include "uapi/loam.h"
#include "uapi/mshv.h"

#define MACHINE_VPS        8
#define MACHINE_RAM        0x100000u
#define MACHINE_FLAGS      (MSHV_PT_LAPIC | MSHV_PT_X2APIC)
#define MACHINE_CODE       0x1000u /* VP 0 starts here */
#define MACHINE_STACK      0x8000u
#define MACHINE_HANDLERS   0x4000u /* interrupt handlers, 32 bytes each */
#define MACHINE_CODE_LIMIT 0x200u

/* Real-mode code under construction. */
struct code {
    uint8_t bytes[MACHINE_CODE_LIMIT];
    size_t size;
};

void code_bytes(struct code *code, const void *bytes, size_t size);
#define CODE(code, ...)                                                                                      \
    code_bytes(code, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define CODE_CLI  0xFA
#define CODE_STI  0xFB
#define CODE_HLT  0xF4
#define CODE_IRET 0xCF
#define CODE_SPIN 0xEB, 0xFE /* jmp . */

void code_out(struct code *code, uint8_t port, uint8_t value); /* clobbers AL */
void code_write_msr(struct code *code, uint32_t msr, uint32_t low,
                    uint32_t high); /* clobbers EAX, ECX, EDX */
void code_enable_x2apic(struct code *code, bool boot_vp);

struct machine {
    int device;
    int partition;
    int vp[MACHINE_VPS];
    uint8_t *ram;
    struct hv_vp_register_page *registers[MACHINE_VPS];
};

/* Opens /dev/mshv and makes an initialized partition with `ram` bytes of memory (0: none), and no VP. */
void machine_create(struct machine *machine, uint64_t flags, size_t ram);

/* The VP, its register page mapped. VP 0 is set up to run from MACHINE_CODE on; others await their SIPI. */
void machine_create_vp(struct machine *machine, uint32_t index);

/* machine_create() with MACHINE_RAM, VP 0 and this code for it. */
void machine_start(struct machine *machine, const struct code *code);

/* Puts code at a guest address. */
void machine_load(struct machine *machine, uint32_t address, const void *code, size_t size);

/* An interrupt handler for `vector` that writes the vector to `port`, ends the interrupt and returns. */
void machine_set_handler(struct machine *machine, uint8_t vector, uint8_t port);

/* Closes all files and unmaps the memory. */
void machine_destroy(struct machine *machine);

int machine_set_memory(struct machine *machine, uint8_t flags, uint64_t guest_pfn, const void *address,
                       size_t size);

/* RUN_VP that must succeed; the message type must be `type`. */
void machine_run(struct machine *machine, uint32_t index, struct hv_message *message, uint32_t type);

/* RUN_VP until an OUT to `port`, whose value it returns; moves RIP behind it. */
uint8_t machine_run_to_out(struct machine *machine, uint32_t index, uint8_t port);

/* A hypercall by MSHV_ROOT_HVCALL on `fd`; the result of the ioctl. reps, status may be NULL. */
int machine_call(int fd, uint16_t code, uint16_t *reps, const void *input, size_t input_size, void *output,
                 size_t output_size, uint16_t *status);

void machine_set_register(int fd, uint32_t vp, uint32_t name, const void *value, size_t size);
uint64_t machine_get_register(int fd, uint32_t vp, uint32_t name);
int machine_assert_interrupt(int fd, uint32_t vector, uint64_t destination);

#endif
