/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A processor exception to be delivered to the guest (APM vol. 2, chapter 8; SDM vol. 3A, chapter 6). */
#ifndef WORKER_EXCEPTION_H
#define WORKER_EXCEPTION_H

#include <stdbool.h>
#include <stdint.h>

enum exception_vector {
    EXCEPTION_DIVIDE = 0,
    EXCEPTION_DEBUG = 1,
    EXCEPTION_INVALID_OPCODE = 6,
    EXCEPTION_DOUBLE_FAULT = 8,
    EXCEPTION_INVALID_TSS = 10,
    EXCEPTION_SEGMENT_NOT_PRESENT = 11,
    EXCEPTION_STACK = 12,
    EXCEPTION_GENERAL_PROTECTION = 13,
    EXCEPTION_PAGE_FAULT = 14,
};

struct exception {
    enum exception_vector vector;
    bool has_error_code;
    uint32_t error_code;
    uint64_t parameter; /* #PF: the address for CR2; #DB: bits of DR6 */
};

/* Page fault error code. */
#define PAGE_FAULT_PRESENT  0x01u
#define PAGE_FAULT_WRITE    0x02u
#define PAGE_FAULT_USER     0x04u
#define PAGE_FAULT_RESERVED 0x08u
#define PAGE_FAULT_FETCH    0x10u

#endif
