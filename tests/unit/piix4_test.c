/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/piix4_isa.h"
#include "partitions/root/worker/devices/piix4_pm.h"
#include "tests/unit/config_space.h"
#include "tests/unit/device_fixture.h"

#define BASE 0x600

static struct device_fixture fixture;
static struct pci_bus pci;
static struct piix4_isa isa;
static struct piix4_pm pm;
static uint8_t routes[4];
static bool extended;
static unsigned route_changes, resets, power_offs;

static void pirq_route(void *context, unsigned pirq, uint8_t route)
{
    (void)context;
    routes[pirq] = route;
    route_changes++;
}

static void reset(void *context)
{
    (void)context;
    resets++;
}

static void rtc_extended(void *context, bool enabled)
{
    (void)context;
    extended = enabled;
}

static void power_off(void *context)
{
    (void)context;
    power_offs++;
}

static void interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)slot;
    (void)pin;
    assert_false(level); /* the SCI is no PCI interrupt */
}

static int setup(void **state)
{
    const struct piix4_isa_outputs outputs = {pirq_route, reset, rtc_extended, NULL};

    (void)state;
    fixture_initialize(&fixture);
    memset(routes, 0x80, sizeof routes);
    extended = false;
    route_changes = resets = power_offs = 0;
    assert_true(pci_bus_initialize(&pci, &fixture.bus, interrupt, NULL));
    assert_true(piix4_isa_initialize(&isa, &pci, &outputs));
    assert_true(piix4_pm_initialize(&pm, &pci, &fixture.timers, fixture_line(&fixture, 9), power_off, NULL));
    return 0;
}

static void map_ports(uint16_t base)
{
    pci_config_write(&pci, 7, 3, 0x40, 4, base);
    pci_config_write(&pci, 7, 3, 0x80, 1, 1);
}

static int setup_mapped(void **state)
{
    setup(state);
    map_ports(BASE);
    return 0;
}

static void identities(void **state)
{
    (void)state;
    assert_int_equal(pci_config_read(&pci, 7, 0, 0x00, 4), 0x71108086);
    assert_int_equal(pci_config_read(&pci, 7, 0, 0x08, 4) >> 8, 0x060100);
    assert_int_equal(pci_config_read(&pci, 7, 0, 0x0e, 1), 0x80);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x00, 4), 0x71138086);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x08, 4) >> 8, 0x068000);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x3d, 1), 1);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x5b, 1), 0x02);
}

static void pirq_routes(void **state)
{
    (void)state;
    assert_int_equal(pci_config_read(&pci, 7, 0, 0x60, 4), 0x80808080);
    pci_config_write(&pci, 7, 0, 0x61, 1, 0x0b);
    assert_int_equal(route_changes, 1);
    assert_int_equal(routes[1], 0x0b);
    pci_config_write(&pci, 7, 0, 0x60, 4, 0xff0a0b8a);
    assert_int_equal(pci_config_read(&pci, 7, 0, 0x60, 4), 0x8f0a0b8a);
    assert_int_equal(route_changes, 4);
    pci_bus_reset(&pci);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(routes[i], 0x80);
}

static void reset_control(void **state)
{
    (void)state;
    out8(&fixture, 0xcf9, 0x02);
    assert_int_equal(resets, 0);
    assert_int_equal(in8(&fixture, 0xcf9), 0x02);
    out8(&fixture, 0xcf9, 0x06);
    assert_int_equal(resets, 1);
    out8(&fixture, 0xcf9, 0x06); /* no edge */
    assert_int_equal(resets, 1);
    out8(&fixture, 0xcf9, 0x00);
    out8(&fixture, 0xcf9, 0xfc); /* soft */
    assert_int_equal(resets, 2);
    assert_int_equal(in8(&fixture, 0xcf9), 0x04);
    pci_bus_reset(&pci);
    assert_int_equal(in8(&fixture, 0xcf9), 0x00);
    assert_int_equal(resets, 2);
}

static void the_clocks_extended_bank(void **state)
{
    (void)state;
    pci_config_write(&pci, 7, 0, PIIX4_RTC, 1, 0x25);
    assert_true(extended);
    pci_config_write(&pci, 7, 0, PIIX4_RTC, 1, 0x21);
    assert_false(extended);
    pci_config_write(&pci, 7, 0, PIIX4_RTC, 1, 0xff);
    assert_true(extended);
    pci_bus_reset(&pci);
    assert_false(extended);
}

static void ports_move_with_pmbase(void **state)
{
    (void)state;
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x40, 4), 1);
    pci_config_write(&pci, 7, 3, 0x40, 4, BASE);
    assert_int_equal(in32(&fixture, BASE), 0xffffffff);
    pci_config_write(&pci, 7, 3, 0x80, 1, 0xff);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x80, 1), 1);
    assert_int_equal(in32(&fixture, BASE), 0);
    pci_config_write(&pci, 7, 3, 0x40, 4, 0xffffffff);
    assert_int_equal(pci_config_read(&pci, 7, 3, 0x40, 4), 0xffc1);
    assert_int_equal(in32(&fixture, 0xffc0), 0);
    assert_int_equal(in32(&fixture, BASE), 0xffffffff);
    pci_config_write(&pci, 7, 3, 0x40, 4, 0xcc0); /* over CF8h */
    assert_int_equal(in32(&fixture, 0xcc0), 0xffffffff);
    pci_config_write(&pci, 7, 3, 0x40, 4, 0);
    assert_int_equal(in32(&fixture, 0), 0xffffffff);
    map_ports(BASE);
    assert_int_equal(in32(&fixture, BASE), 0);
    pci_bus_reset(&pci);
    assert_int_equal(in32(&fixture, BASE), 0xffffffff);
}

static void pm_timer(void **state)
{
    uint32_t first;

    (void)state;
    first = in32(&fixture, BASE + 8);
    fixture_advance(&fixture, SECOND);
    assert_in_range(in32(&fixture, BASE + 8) - first, 3579545, 3579546);
    fixture_advance(&fixture, 4 * SECOND);
    assert_true(in32(&fixture, BASE + 8) < 0x1000000); /* 24 bits */
    out32(&fixture, BASE + 8, 0);
    assert_int_not_equal(in32(&fixture, BASE + 8), 0);
    assert_int_equal(in8(&fixture, BASE + 9), in32(&fixture, BASE + 8) >> 8 & 0xff);
}

static void pm_timer_status_and_sci(void **state)
{
    (void)state;
    fixture_advance(&fixture, 2 * SECOND);
    assert_int_equal(in16(&fixture, BASE), 0);
    fixture_advance(&fixture, SECOND); /* bit 23 has changed after 2.34 s */
    assert_int_equal(in16(&fixture, BASE), 0x0001);
    out16(&fixture, BASE, 0x0001);
    assert_int_equal(in16(&fixture, BASE), 0);
    /* Without SCI_EN nobody would hear of it: no wake-ups. */
    out16(&fixture, BASE + 2, 0x0001);
    fixture_advance(&fixture, 10 * SECOND);
    assert_int_equal(fixture.expirations, 0);
    piix4_pm_press_power_button(&pm);
    fixture_advance(&fixture, 3 * SECOND);
    assert_int_equal(in16(&fixture, BASE), 0x0101);
    out16(&fixture, BASE, 0x0101);
    fixture_advance(&fixture, 5 * SECOND - timer_now(&fixture.timers) % (5 * SECOND));
    out16(&fixture, BASE, 0x0101);
    out16(&fixture, BASE + 4, 0x0001);
    out16(&fixture, BASE + 2, 0x0001);
    fixture_advance(&fixture, SECOND);
    assert_false(fixture.level[9]);
    fixture_advance(&fixture, SECOND);
    assert_true(fixture.level[9]);
    assert_int_equal(fixture.expirations, 1);
    fixture_advance(&fixture, 10 * SECOND);
    assert_int_equal(fixture.expirations, 1);
    out16(&fixture, BASE, 0x0001);
    assert_false(fixture.level[9]);
}

static void acpi_is_enabled_by_the_smi_command(void **state)
{
    (void)state;
    assert_int_equal(in16(&fixture, BASE + 4), 0);
    out16(&fixture, BASE + 4, 0x0402);
    out8(&fixture, 0xb2, 0xf1);
    assert_int_equal(in16(&fixture, BASE + 4), 0x0403); /* the other bits stay */
    out16(&fixture, BASE + 4, 0x0001);
    assert_int_equal(in8(&fixture, 0xb2), 0xf1);
    out8(&fixture, 0xb2, 0x12);
    assert_int_equal(in16(&fixture, BASE + 4), 0x0001);
    out8(&fixture, 0xb2, 0xf0);
    assert_int_equal(in16(&fixture, BASE + 4), 0x0000);
    out8(&fixture, 0xb3, 0x55);
    assert_int_equal(in8(&fixture, 0xb3), 0x55);
    pci_bus_reset(&pci);
    assert_int_equal(in16(&fixture, 0xb2), 0x0000);
}

static void power_button(void **state)
{
    (void)state;
    assert_false(piix4_pm_press_power_button(&pm));
    assert_int_equal(in16(&fixture, BASE), 0x0100);
    assert_false(fixture.level[9]);
    out16(&fixture, BASE, 0x0100);
    out16(&fixture, BASE + 2, 0x0100);
    assert_false(piix4_pm_press_power_button(&pm)); /* not in ACPI mode */
    out16(&fixture, BASE, 0x0100);
    out8(&fixture, 0xb2, 0xf1);
    assert_true(piix4_pm_press_power_button(&pm));
    assert_true(fixture.level[9]);
    out16(&fixture, BASE, 0x0001);
    assert_true(fixture.level[9]);
    out16(&fixture, BASE, 0x0100);
    assert_false(fixture.level[9]);
}

static void the_clocks_alarm(void **state)
{
    (void)state;
    piix4_pm_rtc_alarm(&pm);
    assert_int_equal(in16(&fixture, BASE), 0x0400);
    assert_false(fixture.level[9]);
    out16(&fixture, BASE, 0x0400);
    assert_int_equal(in16(&fixture, BASE), 0);
    out8(&fixture, 0xb2, 0xf1);
    out16(&fixture, BASE + 2, 0x0400);
    piix4_pm_rtc_alarm(&pm);
    assert_true(fixture.level[9]);
    out16(&fixture, BASE + 2, 0);
    assert_false(fixture.level[9]);
    out16(&fixture, BASE + 2, 0x0400);
    assert_true(fixture.level[9]);
    out8(&fixture, 0xb2, 0xf0); /* ACPI off: no SCI */
    assert_false(fixture.level[9]);
    out8(&fixture, 0xb2, 0xf1);
    out16(&fixture, BASE, 0x0400);
    assert_false(fixture.level[9]);
}

static void sleeping(void **state)
{
    (void)state;
    out16(&fixture, BASE + 4, 0x2001 | 1 << 10); /* a type that no _Sx names */
    assert_int_equal(power_offs, 0);
    assert_int_equal(in16(&fixture, BASE + 4), 0x0401); /* SLP_EN reads as zero */
    out16(&fixture, BASE + 4, 0x0001);
    assert_int_equal(power_offs, 0);
    out16(&fixture, BASE + 4, 0x2001);
    assert_int_equal(power_offs, 1);
    out8(&fixture, BASE + 5, 0x20);
    assert_int_equal(power_offs, 2);
}

static void registers_by_any_width(void **state)
{
    (void)state;
    out32(&fixture, BASE, 0xffff0000);
    assert_int_equal(in16(&fixture, BASE + 2), 0x0521);
    assert_int_equal(in8(&fixture, BASE + 3), 0x05);
    assert_int_equal(in32(&fixture, BASE + 1), 0x00052100);
    out32(&fixture, BASE + 0x0c, 0xffffffff);
    assert_int_equal(in32(&fixture, BASE + 0x0c), 0x0f0f0000);
    assert_false(fixture.level[9]); /* nothing on the board raises a general purpose event */
    out32(&fixture, BASE + 0x3c, 0x12345678);
    assert_int_equal(in32(&fixture, BASE + 0x3c), 0x12345678);
    assert_int_equal(in16(&fixture, BASE + 0x3e), 0x1234);
    assert_int_equal(in32(&fixture, BASE + 0x3e), 0xffff1234); /* half outside */
    assert_int_equal(in32(&fixture, BASE + 0x0e), 0x00000f0f);
    out32(&fixture, BASE + 0x06, 0xffffffff); /* reserved, and the timer */
    assert_int_equal(in16(&fixture, BASE + 0x06), 0);
}

static void reset_of_power_management(void **state)
{
    (void)state;
    out8(&fixture, 0xb2, 0xf1);
    out16(&fixture, BASE + 2, 0x0100);
    for (uint16_t offset = 0x0c; offset < 0x40; offset += 4)
        out32(&fixture, (uint16_t)(BASE + offset), 0xffffffff);
    piix4_pm_press_power_button(&pm);
    assert_true(fixture.level[9]);
    pci_bus_reset(&pci);
    assert_false(fixture.level[9]);
    map_ports(BASE);
    assert_int_equal(in32(&fixture, BASE), 0);
    assert_int_equal(in16(&fixture, BASE + 4), 0);
    assert_int_equal(in32(&fixture, BASE + 0x0c), 0);
    for (uint16_t offset = 0x10; offset < 0x40; offset += 4)
        assert_int_equal(in32(&fixture, (uint16_t)(BASE + offset)), 0);
}

static void configuration_spaces(void **state)
{
    static const struct config_bytes isa_rows[] = {
        {0x00, 4, 0x71108086, 0         },
        {0x04, 4, 0x02800007, 0x0108    },
        {0x08, 4, 0x06010002, 0         },
        {0x0e, 1, 0x80,       0         },
        {0x4c, 1, 0x4d,       0xff      },
        {0x4e, 2, 0x0003,     0x07ff    },
        {0x60, 4, 0x80808080, 0x8f8f8f8f},
        {0x64, 1, 0x10,       0xff      },
        {0x69, 3, 0x000002,   0x8080fa  },
        {0x76, 2, 0x0404,     0x8787    },
        {0x82, 1, 0x00,       0x0f      },
        {0x90, 2, 0x0000,     0xfcff    },
        {0x92, 4, 0x00000000, 0xffc0ffc0},
        {0xb0, 4, 0x00000000, 0xffffffff},
        {0xcb, 1, 0x21,       0x3d      },
    };
    static const struct config_bytes pm_rows[] = {
        {0x00, 4, 0x71138086, 0         },
        {0x04, 4, 0x02800000, 0x0001    },
        {0x08, 4, 0x06800003, 0         },
        {0x3c, 2, 0x0100,     0x00ff    },
        {0x40, 4, 0x00000001, 0xffc0    },
        {0x44, 4, 0,          0xffffffff},
        {0x48, 4, 0,          0xffffffff},
        {0x4c, 4, 0,          0xffffffff},
        {0x50, 4, 0,          0xffffffff},
        {0x54, 4, 0,          0xffffffff},
        {0x58, 4, 0x02000000, 0xffffffff},
        {0x5c, 4, 0,          0xffffffff},
        {0x60, 4, 0,          0xffffffff},
        {0x64, 4, 0,          0xffffffff},
        {0x68, 4, 0,          0xffffffff},
        {0x6c, 4, 0,          0xffffffff},
        {0x70, 4, 0,          0xffffffff},
        {0x74, 4, 0,          0xffffffff},
        {0x78, 4, 0,          0xffffffff},
        {0x7c, 4, 0,          0xffffffff},
        {0x80, 1, 0x00,       0x01      },
    };

    (void)state;
    check_config_space(&pci, 7, 0, isa_rows, sizeof isa_rows / sizeof isa_rows[0]);
    check_config_space(&pci, 7, 3, pm_rows, sizeof pm_rows / sizeof pm_rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(identities, setup),
        cmocka_unit_test_setup(pirq_routes, setup),
        cmocka_unit_test_setup(reset_control, setup),
        cmocka_unit_test_setup(the_clocks_extended_bank, setup),
        cmocka_unit_test_setup(ports_move_with_pmbase, setup),
        cmocka_unit_test_setup(pm_timer, setup_mapped),
        cmocka_unit_test_setup(pm_timer_status_and_sci, setup_mapped),
        cmocka_unit_test_setup(acpi_is_enabled_by_the_smi_command, setup_mapped),
        cmocka_unit_test_setup(power_button, setup_mapped),
        cmocka_unit_test_setup(the_clocks_alarm, setup_mapped),
        cmocka_unit_test_setup(sleeping, setup_mapped),
        cmocka_unit_test_setup(registers_by_any_width, setup_mapped),
        cmocka_unit_test_setup(reset_of_power_management, setup_mapped),
        cmocka_unit_test_setup(configuration_spaces, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
