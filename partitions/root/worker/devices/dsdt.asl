/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI name space of a generation 1 machine. Addresses and interrupts are those of platform.h, irq_router.h and
 * piix4_pm.h; a unit test compares them.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 1, "LOAM", "GEN1", 1)
{
    /* SLP_TYP 0 turns PIIX4 off. */
    Name (\_S5, Package () {0, 0, 0, 0})

    /* Zero while the system uses the 8259As, one with the I/O APIC. */
    Name (PICM, 0)
    Method (\_PIC, 1)
    {
        PICM = Arg0
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                             0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xE0000000, 0xFEBFFFFF, 0, 0x1EC00000)
            })

/* Pin p of slot s is on PIRQ (s - 1 + p) mod 4: with the 8259As a link device, with the I/O APIC inputs 16 to 19. */
#define LINKS(slot, a, b, c, d) \
    Package () {slot##FFFF, 0, a, 0}, Package () {slot##FFFF, 1, b, 0}, \
    Package () {slot##FFFF, 2, c, 0}, Package () {slot##FFFF, 3, d, 0}
#define LINKS_OF_4_SLOTS(s0, s1, s2, s3) \
    LINKS (s0, LNKD, LNKA, LNKB, LNKC), LINKS (s1, LNKA, LNKB, LNKC, LNKD), \
    LINKS (s2, LNKB, LNKC, LNKD, LNKA), LINKS (s3, LNKC, LNKD, LNKA, LNKB)
#define INPUTS(slot, a, b, c, d) \
    Package () {slot##FFFF, 0, 0, a}, Package () {slot##FFFF, 1, 0, b}, \
    Package () {slot##FFFF, 2, 0, c}, Package () {slot##FFFF, 3, 0, d}
#define INPUTS_OF_4_SLOTS(s0, s1, s2, s3) \
    INPUTS (s0, 19, 16, 17, 18), INPUTS (s1, 16, 17, 18, 19), \
    INPUTS (s2, 17, 18, 19, 16), INPUTS (s3, 18, 19, 16, 17)

            Name (PRTP, Package ()
            {
                LINKS_OF_4_SLOTS (0x0000, 0x0001, 0x0002, 0x0003),
                LINKS_OF_4_SLOTS (0x0004, 0x0005, 0x0006, 0x0007),
                LINKS_OF_4_SLOTS (0x0008, 0x0009, 0x000A, 0x000B),
                LINKS_OF_4_SLOTS (0x000C, 0x000D, 0x000E, 0x000F),
                LINKS_OF_4_SLOTS (0x0010, 0x0011, 0x0012, 0x0013),
                LINKS_OF_4_SLOTS (0x0014, 0x0015, 0x0016, 0x0017),
                LINKS_OF_4_SLOTS (0x0018, 0x0019, 0x001A, 0x001B),
                LINKS_OF_4_SLOTS (0x001C, 0x001D, 0x001E, 0x001F)
            })
            Name (PRTA, Package ()
            {
                INPUTS_OF_4_SLOTS (0x0000, 0x0001, 0x0002, 0x0003),
                INPUTS_OF_4_SLOTS (0x0004, 0x0005, 0x0006, 0x0007),
                INPUTS_OF_4_SLOTS (0x0008, 0x0009, 0x000A, 0x000B),
                INPUTS_OF_4_SLOTS (0x000C, 0x000D, 0x000E, 0x000F),
                INPUTS_OF_4_SLOTS (0x0010, 0x0011, 0x0012, 0x0013),
                INPUTS_OF_4_SLOTS (0x0014, 0x0015, 0x0016, 0x0017),
                INPUTS_OF_4_SLOTS (0x0018, 0x0019, 0x001A, 0x001B),
                INPUTS_OF_4_SLOTS (0x001C, 0x001D, 0x001E, 0x001F)
            })
            Method (_PRT)
            {
                If (PICM)
                {
                    Return (PRTA)
                }
                Return (PRTP)
            }

            /* PIIX4, function 0 */
            Device (ISA)
            {
                Name (_ADR, 0x00070000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8,
                    PRQB, 8,
                    PRQC, 8,
                    PRQD, 8
                }

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x20, 0x20, 1, 2)
                        IO (Decode16, 0xA0, 0xA0, 1, 2)
                        IO (Decode16, 0x4D0, 0x4D0, 1, 2)
                        IRQNoFlags () {2}
                    })
                }
                Device (DMAC)
                {
                    Name (_HID, EisaId ("PNP0200"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x00, 0x00, 1, 0x10)
                        IO (Decode16, 0x80, 0x80, 1, 0x10)
                        IO (Decode16, 0xC0, 0xC0, 1, 0x20)
                        DMA (Compatibility, NotBusMaster, Transfer8) {4}
                    })
                }
                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x40, 0x40, 1, 4)
                        IRQNoFlags () {0}
                    })
                }
                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x70, 0x70, 1, 2)
                        IRQNoFlags () {8}
                    })
                }
                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x61, 0x61, 1, 1)
                    })
                }
                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0xF0, 0xF0, 1, 1)
                        IRQNoFlags () {13}
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x60, 0x60, 1, 1)
                        IO (Decode16, 0x64, 0x64, 1, 1)
                        IRQNoFlags () {1}
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IRQNoFlags () {12}
                    })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                        IRQNoFlags () {4}
                    })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x2F8, 0x2F8, 1, 8)
                        IRQNoFlags () {3}
                    })
                }
                Device (FDC)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    OperationRegion (STAT, SystemIO, 0x3F4, 1)
                    Field (STAT, ByteAcc, NoLock, Preserve)
                    {
                        MSR, 8
                    }
                    /* A machine without floppy drives has no controller: nothing drives its ports. */
                    Method (_STA)
                    {
                        If (MSR == 0xFF)
                        {
                            Return (0)
                        }
                        Return (0x0F)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3F0, 0x3F0, 1, 6)
                        IO (Decode16, 0x3F7, 0x3F7, 1, 1)
                        IRQNoFlags () {6}
                        DMA (Compatibility, NotBusMaster, Transfer8) {2}
                    })
                }
                /* What the board uses and no driver claims. */
                Device (BRD)
                {
                    Name (_HID, EisaId ("PNP0C02"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x72, 0x72, 1, 2)
                        IO (Decode16, 0x92, 0x92, 1, 1)
                        IO (Decode16, 0xB2, 0xB2, 1, 2)
                        IO (Decode16, 0x600, 0x600, 1, 0x40)
                        Memory32Fixed (ReadWrite, 0xFEC00000, 0x1000)
                        Memory32Fixed (ReadWrite, 0xFEE00000, 0x1000)
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFED00000, 0x400)
            })
        }

        /* The IRQ of a PIRQRC register as a resource. */
        Name (LIRQ, ResourceTemplate ()
        {
            IRQ (Level, ActiveLow, Shared) {0}
        })
        Method (LCRS, 1, Serialized)
        {
            CreateWordField (LIRQ, 1, MASK)
            MASK = 0
            If ((Arg0 & 0x80) == 0)
            {
                MASK = 1 << (Arg0 & 0x0F)
            }
            Return (LIRQ)
        }
        /* The PIRQRC value of a resource. */
        Method (LSRS, 1)
        {
            CreateWordField (Arg0, 1, MASK)
            FindSetRightBit (MASK, Local0)
            If (Local0 == 0)
            {
                Return (0x80)
            }
            Return (Local0 - 1)
        }
        Method (LSTA, 1)
        {
            If (Arg0 & 0x80)
            {
                Return (0x09)
            }
            Return (0x0B)
        }

#define LINK(name, uid, register) \
        Device (name) \
        { \
            Name (_HID, EisaId ("PNP0C0F")) \
            Name (_UID, uid) \
            Name (_PRS, ResourceTemplate () \
            { \
                IRQ (Level, ActiveLow, Shared) {5, 10, 11} \
            }) \
            Method (_STA) {Return (LSTA (\_SB.PCI0.ISA.register))} \
            Method (_DIS) {\_SB.PCI0.ISA.register = 0x80} \
            Method (_CRS) {Return (LCRS (\_SB.PCI0.ISA.register))} \
            Method (_SRS, 1) {\_SB.PCI0.ISA.register = LSRS (Arg0)} \
        }
        LINK (LNKA, 0, PRQA)
        LINK (LNKB, 1, PRQB)
        LINK (LNKC, 2, PRQC)
        LINK (LNKD, 3, PRQD)
    }
}
