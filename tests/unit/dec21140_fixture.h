/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine with a 21140A on a switch that remembers what it was sent and can hold one refused frame. */
#ifndef TESTS_UNIT_DEC21140_FIXTURE_H
#define TESTS_UNIT_DEC21140_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/devices/dec21140.h"
#include "tests/unit/device_fixture.h"

#define MEMORY_SIZE 0x400000u
#define SLOT        10
#define PORTS       0xc100
#define REGISTERS   0xf0000000u

#define TX_RING   0x10000u
#define RX_RING   0x20000u
#define SETUP     0x30000u
#define TX_BUFFER 0x40000u
#define RX_BUFFER 0x80000u
#define RX_SIZE   1536u

#define OWNED 0x80000000u

/* TDES1 */
#define IC    0x80000000u
#define LS    0x40000000u
#define FS    0x20000000u
#define FT1   0x10000000u
#define SET   0x08000000u
#define AC    0x04000000u
#define TER   0x02000000u
#define TCH   0x01000000u
#define DPD   0x00800000u
#define FT0   0x00400000u
#define WHOLE (FS | LS)

/* CSR5 */
#define TI  0x00000001u
#define TPS 0x00000002u
#define TU  0x00000004u
#define TJT 0x00000008u
#define UNF 0x00000020u
#define RI  0x00000040u
#define RU  0x00000080u
#define RPS 0x00000100u
#define ETI 0x00000400u
#define GTE 0x00000800u
#define FBE 0x00002000u
#define AIS 0x00008000u
#define NIS 0x00010000u

#define TS(csr5) ((csr5) >> 20 & 7)
#define RS(csr5) ((csr5) >> 17 & 7)

/* CSR6 */
#define SR 0x00000002u
#define PR 0x00000040u
#define PM 0x00000080u
#define FD 0x00000200u
#define ST 0x00002000u
#define PS 0x00040000u
#define RA 0x40000000u

#define SENT_FRAMES 64

struct machine {
    struct device_fixture fixture;
    struct pci_bus pci;
    struct guest_memory memory;
    uint8_t *ram;
    struct dec21140 card;
    bool line;
    bool congested;
    uint8_t sent[SENT_FRAMES][NIC_MAXIMUM_FRAME];
    size_t sent_length[SENT_FRAMES];
    unsigned sent_count;
    unsigned queued; /* by the card, not flushed */
    unsigned flushes;
    unsigned ready_calls;
    const uint8_t *held; /* offered again by ready */
    size_t held_length;
    bool held_taken;
};

extern const uint8_t mac[6];
extern const uint8_t broadcast[6];
extern const uint8_t group[6];
extern const uint8_t stranger[6];

/* Writes a register of the card's configuration space. */
void configure(struct machine *machine, unsigned offset, unsigned size, uint32_t value);

/* Puts the card into a machine, connected to `backend`, its base address registers set. */
void start_card(struct machine *machine, struct nic_backend backend);

/* Without a card. */
struct machine *make_machine(void);

/* cmocka's: the state is the struct machine, with a card that is connected to it. */
int dec21140_set_up(void **state);
int dec21140_tear_down(void **state);

/* The card's registers, by ports. */
uint32_t csr(struct machine *machine, unsigned number);
void set_csr(struct machine *machine, unsigned number, uint32_t value);

/* Little-endian words of guest memory. */
void set_word(struct machine *machine, uint32_t address, uint32_t value);
uint32_t word(struct machine *machine, uint32_t address);

/* The status word, which hands it over, is written last. */
void set_descriptor(struct machine *machine, uint32_t address, uint32_t status, uint32_t control,
                    uint32_t buffer1, uint32_t buffer2);

/* An IPv4 frame from `stranger`. */
void make_frame(uint8_t *frame, size_t length, const uint8_t destination[6]);

/* A receive ring with `count` descriptors for the card, of one large buffer each. */
void make_receive_ring(struct machine *machine, unsigned count);

/* Loads a filter as Linux does: perfect, all entries broadcast but the last. */
void load_perfect_filter(struct machine *machine);

/* The switch offers such a frame. */
bool receive(struct machine *machine, size_t length, const uint8_t destination[6]);

/* The CRC of Ethernet and of the serial ROM, bit by bit as appendix A of the ROM's format describes it. */
uint32_t reference_crc32(const uint8_t *bytes, size_t length);

/* One address of a setup frame; the upper half of a longword does not count. */
void put_setup_address(struct machine *machine, unsigned longword, const uint8_t address[6]);

/* Bits of the MII management interface, and a whole write of a PHY register. */
void mii_clock(struct machine *machine, bool bit);
void mii_bits(struct machine *machine, uint32_t bits, unsigned count);
void mii_write(struct machine *machine, unsigned phy, unsigned number, uint16_t value);

#endif
