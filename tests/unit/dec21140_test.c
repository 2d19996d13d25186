/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 21140A: registers, serial ROM, MII, timer, interrupts, and the order in which Linux uses them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/ethernet_crc.h"
#include "tests/unit/dec21140_fixture.h"

static void test_pci(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, 0, 4), 0x00091011);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, PCI_REVISION, 4), 0x02000020);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, PCI_SUBSYSTEM_VENDOR, 4), 0x21140a00);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, PCI_INTERRUPT_PIN, 1), 1);
    configure(machine, 0x40, 4, 0xffffffff);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, 0x40, 4), 0xc000ff00);
    configure(machine, PCI_BAR_0, 4, 0xffffffff);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, PCI_BAR_0, 4), 0xffffff81);
    configure(machine, PCI_BAR_0 + 4, 4, 0xffffffff);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, 0, PCI_BAR_0 + 4, 4), 0xffffff80);
}

static void test_reset_values(void **state)
{
    static const struct {
        unsigned number;
        uint32_t value;
    } values[] = {
        {0,  0xfe000000},
        {1,  0xffffffff},
        {2,  0xffffffff},
        {5,  0xfc000000},
        {6,  0x32000040},
        {7,  0xfffe0000},
        {8,  0xe0000000},
        {11, 0xfffe0000},
        {12, 0xfffffeff},
        {15, 0xfffffec8}
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(csr(machine, values[i].number), values[i].value);
    /* The same registers in memory; parts can be read, writes are whole longwords. */
    set_csr(machine, 7, 0x12345);
    assert_int_equal(bus_read(&machine->fixture.bus, BUS_MEMORY, REGISTERS + 0x38, 4), 0xffff2345);
    assert_int_equal(bus_read(&machine->fixture.bus, BUS_MEMORY, REGISTERS + 0x39, 1), 0x23);
    assert_int_equal(bus_read(&machine->fixture.bus, BUS_MEMORY, REGISTERS + 0x3c, 4), 0xffffffff);
    bus_write(&machine->fixture.bus, BUS_MEMORY, REGISTERS + 0x38, 1, 0xff);
    assert_int_equal(csr(machine, 7), 0xffff2345);
    bus_write(&machine->fixture.bus, BUS_MEMORY, REGISTERS + 0x38, 4, 0x10000);
    assert_int_equal(csr(machine, 7), 0xffff0000);
}

static void test_software_reset(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    make_receive_ring(machine, 2);
    set_csr(machine, 7, 0x1ffff);
    set_csr(machine, 6, PS | ST | SR);
    set_csr(machine, 11, 100);
    set_csr(machine, 0, 1);
    assert_int_equal(csr(machine, 0), 0xfe000000); /* the bit clears itself */
    assert_int_equal(csr(machine, 5), 0xfc000000);
    assert_int_equal(csr(machine, 6), 0x32000040 | PS); /* the port stays selected */
    assert_int_equal(csr(machine, 11), 0xfffe0000);
    assert_false(machine->line);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, SR);
    assert_true(receive(machine, 60, mac)); /* the filter is gone: dropped */
    assert_int_equal(word(machine, RX_RING), OWNED);
}

/* The bits of CSR9 as a driver moves them. */
static uint32_t srom_clock(struct machine *machine, bool input)
{
    uint32_t data = 0x4801 | (input ? 4 : 0);

    set_csr(machine, 9, data);
    set_csr(machine, 9, data | 2);
    return csr(machine, 9) >> 3 & 1;
}

static void srom_begin(struct machine *machine)
{
    set_csr(machine, 9, 0x4800);
    set_csr(machine, 9, 0x4801);
}

static uint32_t srom_bits(struct machine *machine, uint32_t bits, unsigned count)
{
    uint32_t output = 0;

    while (count-- > 0)
        output = output << 1 | srom_clock(machine, bits >> count & 1);
    return output;
}

static uint16_t srom_read(struct machine *machine, unsigned address)
{
    uint16_t value;

    srom_begin(machine);
    assert_int_equal(srom_bits(machine, 0x180 | address, 11) & 1, 0); /* the dummy bit */
    value = (uint16_t)srom_bits(machine, 0, 16);
    set_csr(machine, 9, 0x4800);
    return value;
}

static void read_srom(struct machine *machine, uint8_t bytes[128])
{
    for (unsigned i = 0; i < 64; i++) {
        uint16_t value = srom_read(machine, i);

        bytes[2 * i] = value & 0xff;
        bytes[2 * i + 1] = value >> 8;
    }
}

static void test_ethernet_crc(void **state)
{
    uint8_t bytes[67];

    (void)state;
    assert_int_equal(~ethernet_crc(ETHERNET_CRC_START, "123456789", 9), 0xcbf43926);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        size_t half = length / 2;
        uint32_t crc = ethernet_crc(ETHERNET_CRC_START, bytes, half);

        assert_int_equal(~ethernet_crc(crc, bytes + half, length - half), reference_crc32(bytes, length));
    }
}

static void test_srom_contents(void **state)
{
    struct machine *machine = *state;
    uint8_t bytes[128];
    uint8_t crc = 0xff;

    read_srom(machine, bytes);
    assert_int_equal(bytes[0] | bytes[1] << 8, 0x0a00);
    assert_int_equal(bytes[2] | bytes[3] << 8, 0x2114);
    assert_int_equal(bytes[18], 3);
    assert_int_equal(bytes[19], 1);
    assert_memory_equal(bytes + 20, mac, 6);
    assert_int_equal(bytes[26], 0);
    assert_int_equal(bytes[27] | bytes[28] << 8, 30);
    assert_int_equal(bytes[30] | bytes[31] << 8, 0x0800);
    assert_int_equal(bytes[33], 1);
    assert_int_equal(bytes[34], 0x80 | 12);
    assert_int_equal(bytes[35], 1);
    assert_int_equal(reference_crc32(bytes, 126) & 0xffff, bytes[126] | bytes[127] << 8);
    /* The CRC of the identification block, over the first eight words and the upper byte of the ninth. */
    for (unsigned bit = 0; bit < 8 * 17; bit++) {
        unsigned byte = bit < 8 * 16 ? bit / 16 * 2 + (bit % 16 < 8) : 17;
        bool carry = (crc >> 7 ^ bytes[byte] >> (7 - bit % 8)) & 1;

        crc = (uint8_t)(crc << 1);
        if (carry)
            crc ^= 0x07;
    }
    assert_int_equal(crc, bytes[16]);
}

/* How the Linux driver tells a 93C46 from a 93C66: the dummy bit comes after six address bits. */
static void test_srom_size_probe(void **state)
{
    struct machine *machine = *state;
    uint32_t output;

    srom_begin(machine);
    output = srom_bits(machine, 0xff | 6 << 8, 13) << 16;
    output |= srom_bits(machine, 0, 16);
    assert_int_equal(output & 0x40000, 0);
}

static void test_srom_sequential_read(void **state)
{
    struct machine *machine = *state;
    uint16_t first = srom_read(machine, 10);
    uint16_t second = srom_read(machine, 11);

    srom_begin(machine);
    srom_bits(machine, 0x180 | 10, 9);
    assert_int_equal(srom_bits(machine, 0, 16), first);
    assert_int_equal(srom_bits(machine, 0, 16), second);
}

static void srom_command(struct machine *machine, uint32_t bits, unsigned count)
{
    srom_begin(machine);
    srom_bits(machine, bits, count);
    set_csr(machine, 9, 0x4800);
}

static void test_srom_write(void **state)
{
    struct machine *machine = *state;
    uint16_t before = srom_read(machine, 5);

    srom_command(machine, (0x140u | 5) << 16 | 0x1234, 25); /* protected */
    assert_int_equal(srom_read(machine, 5), before);
    srom_command(machine, 0x130, 9); /* EWEN */
    srom_command(machine, (0x140u | 5) << 16 | 0x1234, 25);
    assert_int_equal(srom_read(machine, 5), 0x1234);
    srom_command(machine, 0x1c0 | 5, 9); /* ERASE */
    assert_int_equal(srom_read(machine, 5), 0xffff);
    srom_command(machine, 0x110u << 16 | 0x5aa5, 25); /* WRAL */
    assert_int_equal(srom_read(machine, 63), 0x5aa5);
    srom_command(machine, 0x100, 9); /* EWDS */
    srom_command(machine, 0x120, 9); /* ERAL */
    assert_int_equal(srom_read(machine, 0), 0x5aa5);
    srom_command(machine, 0x130, 9);
    srom_command(machine, 0x120, 9);
    assert_int_equal(srom_read(machine, 0), 0xffff);
}

/* As Linux reads: preamble, command, then 19 bits of which 16 count. */
static uint16_t mii_read(struct machine *machine, unsigned phy, unsigned number)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 33; i++)
        mii_clock(machine, true);
    mii_bits(machine, (0xf6u << 10 | phy << 5 | number) & 0xffff, 16);
    for (unsigned i = 0; i < 19; i++) {
        set_csr(machine, 9, 0x40000);
        value = value << 1 | (csr(machine, 9) >> 19 & 1);
        set_csr(machine, 9, 0x50000);
    }
    return value >> 1 & 0xffff;
}

static void test_mii(void **state)
{
    struct machine *machine = *state;

    for (unsigned phy = 0; phy < 32; phy++)
        if (phy != DEC21140_PHY_ADDRESS)
            assert_int_equal(mii_read(machine, phy, 1), 0xffff);
    assert_int_equal(mii_read(machine, 1, 0), 0x3100);
    assert_int_equal(mii_read(machine, 1, 1), 0x786d);
    assert_int_equal(mii_read(machine, 1, 2), 0x2000);
    assert_int_equal(mii_read(machine, 1, 3), 0x5c01);
    assert_int_equal(mii_read(machine, 1, 4), 0x01e1);
    assert_int_equal(mii_read(machine, 1, 5), 0x41e1);
    mii_write(machine, 1, 4, 0x0061);
    assert_int_equal(mii_read(machine, 1, 4), 0x0061);
    mii_write(machine, 2, 4, 0x0021); /* somebody else's */
    assert_int_equal(mii_read(machine, 1, 4), 0x0061);
    mii_write(machine, 1, 0, 0x1200);
    assert_int_equal(mii_read(machine, 1, 0), 0x1000);
    mii_write(machine, 1, 0, 0x8000);
    assert_int_equal(mii_read(machine, 1, 0), 0x3100);
    assert_int_equal(mii_read(machine, 1, 4), 0x01e1);
    /* Identifiers cannot be written. */
    mii_write(machine, 1, 2, 0x1111);
    assert_int_equal(mii_read(machine, 1, 2), 0x2000);
}

static void test_mii_link(void **state)
{
    struct machine *machine = *state;

    dec21140_set_link(&machine->card, false);
    assert_int_equal(mii_read(machine, 1, 1) & 0x24, 0);
    assert_int_equal(mii_read(machine, 1, 5), 0);
    dec21140_set_link(&machine->card, true);
    assert_int_equal(mii_read(machine, 1, 1) & 0x04, 0); /* the loss is told once more */
    assert_int_equal(mii_read(machine, 1, 1) & 0x24, 0x24);
}

static void test_not_connected(void **state)
{
    struct machine *machine = make_machine();

    (void)state;
    start_card(machine, (struct nic_backend){0});
    assert_int_equal(mii_read(machine, 1, 1) & 0x04, 0);
    dec21140_set_link(&machine->card, true);
    assert_int_equal(mii_read(machine, 1, 1) & 0x04, 0);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 100, TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST | FD);
    assert_int_equal(word(machine, TX_RING), 0x8c00); /* no carrier */
    dec21140_tear_down((void **)&machine);
}

static void test_interrupt_summary(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    set_csr(machine, 6, 0);
    assert_int_equal(csr(machine, 5) & 0x1ffff, TU | TPS); /* nothing enabled: no summary */
    set_csr(machine, 7, TU);
    assert_int_equal(csr(machine, 5) & (NIS | AIS), NIS);
    assert_false(machine->line);
    set_csr(machine, 7, NIS);
    assert_int_equal(csr(machine, 5) & (NIS | AIS), 0);
    set_csr(machine, 7, NIS | TU | TPS);
    assert_int_equal(csr(machine, 5) & (NIS | AIS), NIS | AIS);
    assert_true(machine->line);
    set_csr(machine, 5, TU);
    assert_false(machine->line);
    set_csr(machine, 7, AIS | TPS);
    assert_true(machine->line);
    set_csr(machine, 5, TPS);
    assert_false(machine->line);
    assert_int_equal(csr(machine, 5), 0xfc000000);
}

static void test_general_timer(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 6, PS);
    set_csr(machine, 7, NIS | GTE);
    set_csr(machine, 11, 10);
    fixture_advance(&machine->fixture, 81920 * 4);
    assert_int_equal(csr(machine, 11), 0xfffe0006);
    fixture_advance(&machine->fixture, 81920 * 6 - 1);
    assert_false(machine->line);
    fixture_advance(&machine->fixture, 1);
    assert_true(machine->line);
    assert_int_equal(csr(machine, 11), 0xfffe0000);
    set_csr(machine, 5, GTE);
    fixture_advance(&machine->fixture, SECOND);
    assert_false(machine->line);
    /* Continuous, at 10 Mb/s; writing 0 ends it. */
    set_csr(machine, 6, PS | 0x400000);
    set_csr(machine, 11, 0x10002);
    for (unsigned i = 0; i < 3; i++) {
        fixture_advance(&machine->fixture, 2 * 819200);
        assert_true(machine->line);
        set_csr(machine, 5, GTE);
    }
    set_csr(machine, 11, 0);
    fixture_advance(&machine->fixture, SECOND);
    assert_false(machine->line);
}

static void test_general_purpose_port(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 12, 0x10f); /* the lower four are outputs */
    set_csr(machine, 12, 0x55);
    assert_int_equal(csr(machine, 12) & 0xff, 0xf5);
    set_csr(machine, 12, 0x1ff);
    assert_int_equal(csr(machine, 12) & 0xff, 0x55);
}

/* What the Linux driver does from probe to the first frames, in its order. */
static void test_linux_sequence(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[60];

    assert_int_equal(csr(machine, 6) & (ST | SR), 0);
    csr(machine, 8);
    test_srom_size_probe(state);
    test_srom_contents(state);
    test_mii(state);
    set_csr(machine, 12, 0x100);
    set_csr(machine, 6, 0x00040000);
    set_csr(machine, 0, 1);
    set_csr(machine, 0, 0x01a08000);
    assert_int_equal(csr(machine, 0), 0xffa08000);
    make_receive_ring(machine, 4);
    memset(machine->ram + SETUP, 0xff, 192);
    put_setup_address(machine, 45, mac);
    set_descriptor(machine, TX_RING, OWNED, 0x08000000 | 192, SETUP, TX_RING + 16);
    set_descriptor(machine, TX_RING + 16, 0, TER, 0, TX_RING);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, 0x020e0000 | ST);
    set_csr(machine, 5, 0x1ebef);
    set_csr(machine, 7, 0x1ebef);
    set_csr(machine, 6, 0x020e0000 | ST | SR);
    set_csr(machine, 2, 0);
    assert_int_equal(RS(csr(machine, 5)), 3);
    /* set_rx_mode: a dummy descriptor before the setup frame. */
    set_descriptor(machine, TX_RING + 32, OWNED, 0x08000000 | TER | 192, SETUP, TX_RING);
    set_descriptor(machine, TX_RING + 16, OWNED, 0, 0, TX_RING + 32);
    set_csr(machine, 1, 0);
    assert_int_equal(word(machine, TX_RING + 16) & OWNED, 0);
    assert_int_equal(word(machine, TX_RING + 32), 0x7fffffff);
    /* Restart for full duplex: both processes stop at once, and tell it. */
    set_csr(machine, 6, 0x020e0000);
    assert_int_equal(csr(machine, 5) & 0x007e0000, 0);
    set_csr(machine, 6, 0x020e2202);
    set_csr(machine, 5, csr(machine, 5) & 0x1ff3f);
    set_csr(machine, 5, 0x0800f7ba);
    set_descriptor(machine, TX_RING, OWNED, 0xe0000000 | TER | 42, TX_BUFFER, 0);
    make_frame(machine->ram + TX_BUFFER, 42, broadcast);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 1);
    assert_true(machine->line);
    make_frame(frame, sizeof frame, mac);
    assert_true(dec21140_receive(&machine->card, frame, sizeof frame));
    assert_int_equal(word(machine, RX_RING) & 0x38000010, 0);
    assert_int_equal(word(machine, RX_RING) & 0x0300, 0x0300);
    set_csr(machine, 5, 0x1ffff);
    assert_false(machine->line);
}

/* A ring of four buffers, as a driver without interrupts has it that never writes a poll demand. */
static void take_four_frames(struct machine *machine)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t descriptor = RX_RING + 16 * i;

        assert_int_equal(word(machine, descriptor) & (OWNED | 0x8000), 0);
        assert_int_equal(word(machine, descriptor) >> 16 & 0x3fff, 104 + i);
        set_word(machine, descriptor, OWNED);
    }
}

/* What the driver of iPXE does: it waits for its one transmit descriptor, and looks at the receive ring. */
static void test_ipxe_sequence(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 7, 0);
    set_csr(machine, 6, csr(machine, 6) & ~(ST | SR));
    csr(machine, 8);
    test_srom_size_probe(state);
    test_srom_contents(state);
    test_mii(state);
    set_csr(machine, 12, 0x100);
    set_csr(machine, 6, 0x814c0000);
    set_csr(machine, 0, 1);
    set_csr(machine, 0, 0x01a04800);
    make_receive_ring(machine, 4);
    memset(machine->ram + SETUP, 0xff, 192);
    put_setup_address(machine, 0, mac);
    set_descriptor(machine, TX_RING, OWNED, SET | 192, SETUP, TX_RING + 16);
    set_descriptor(machine, TX_RING + 16, 0, TER | 1536, SETUP, TX_RING);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, 0x020e0000);
    set_csr(machine, 6, 0x020e0000 | ST);
    set_csr(machine, 1, 0);
    assert_int_equal(word(machine, TX_RING) & OWNED, 0);
    set_csr(machine, 6, 0x020e0000 | PM | ST | SR);
    assert_int_equal(RS(csr(machine, 5)), 3);

    /* Each frame at the base of the list again, the process stopped before and afterwards; CSR5 is never
     * read. */
    for (unsigned i = 0; i < 3; i++) {
        make_frame(machine->ram + TX_BUFFER, 60 + i, broadcast);
        set_csr(machine, 6, 0x020e0000 | PM | SR);
        set_descriptor(machine, TX_RING, OWNED, WHOLE | (60 + i), TX_BUFFER, TX_RING + 16);
        set_csr(machine, 4, TX_RING);
        set_csr(machine, 6, 0x020e0000 | PM | ST | SR);
        set_csr(machine, 1, 0);
        assert_int_equal(word(machine, TX_RING), 0);
        assert_int_equal(machine->sent_count, i + 1);
        assert_int_equal(machine->sent_length[i], 60 + i);
        assert_int_equal(machine->queued, 0);
    }
    set_csr(machine, 6, 0x020e0000 | PM | SR);

    /* Until no descriptor is left, twice; what comes then waits for one. */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++)
            assert_true(receive(machine, 100 + i, i == 3 ? group : mac));
        assert_int_equal(RS(csr(machine, 5)), 4);
        assert_false(receive(machine, 100, mac));
        take_four_frames(machine);
        assert_true(receive(machine, 100, mac));
        assert_int_equal(word(machine, RX_RING) & OWNED, 0);
        for (unsigned i = 1; i < 4; i++)
            assert_true(receive(machine, 100 + i, mac));
        take_four_frames(machine);
    }
    assert_false(machine->line);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dec21140_set_up, dec21140_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pci),
        TEST(test_reset_values),
        TEST(test_software_reset),
        cmocka_unit_test(test_ethernet_crc),
        TEST(test_srom_contents),
        TEST(test_srom_size_probe),
        TEST(test_srom_sequential_read),
        TEST(test_srom_write),
        TEST(test_mii),
        TEST(test_mii_link),
        cmocka_unit_test(test_not_connected),
        TEST(test_interrupt_summary),
        TEST(test_general_timer),
        TEST(test_general_purpose_port),
        TEST(test_linux_sequence),
        TEST(test_ipxe_sequence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
