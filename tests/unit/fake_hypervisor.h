/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypervisor for tests of the worker: VPs that do what a script says, and a record of what was asked.
 * Registers and state pages hold what was set; translations are identity except for what a test forbids.
 */
#ifndef TESTS_FAKE_HYPERVISOR_H
#define TESTS_FAKE_HYPERVISOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "hv/hypercall.h"
#include "hv/message.h"
#include "hv/registers.h"
#include "partitions/root/worker/hypervisor.h"

#define FAKE_VPS        4
#define FAKE_REGISTERS  160
#define FAKE_MESSAGES   64
#define FAKE_REGIONS    32
#define FAKE_ASSERTS    64
#define FAKE_PROPERTIES 32
#define FAKE_WRITTEN_WORDS 128u

struct fake_vp {
    struct hv_vp_register_page page;
    _Alignas(8) struct hv_message message;
    struct {
        uint32_t name;
        union hv_register_value value;
        unsigned sets;
    } registers[FAKE_REGISTERS];
    unsigned register_count;
    uint8_t states[MSHV_VP_STATE_COUNT][HV_PAGE_SIZE];
    struct hv_message messages[FAKE_MESSAGES]; /* to come */
    unsigned first_message, message_count;
    int run_error; /* returned by the next run_vp if not 0 */
    unsigned runs;
    unsigned idle; /* how often it found no message */
};

struct fake_hypervisor {
    struct hypervisor hypervisor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t creation_flags;
    bool initialized;
    struct fake_vp vps[FAKE_VPS];
    unsigned vp_count;
    struct mshv_user_mem_region regions[FAKE_REGIONS];
    unsigned region_count;
    struct hv_input_assert_virtual_interrupt asserts[FAKE_ASSERTS];
    unsigned assert_count;
    struct {
        uint32_t code;
        uint64_t value;
        bool before_initialize;
    } properties[FAKE_PROPERTIES];
    unsigned property_count;
    unsigned cpuid_results;
    unsigned translations;
    uint64_t last_translate_flags;
    uint64_t forbidden_page; /* translates to `forbidden_result` */
    uint32_t forbidden_result;
    bool forbidden_gpa_is_zero; /* the result has no GPA */
    uint16_t refused_call;      /* answered with `refused_status`; 0: none */
    uint16_t refused_status;
    uint64_t written[FAKE_WRITTEN_WORDS]; /* bits of pages, by guest page modulo their number */
    int written_error;                    /* of written_pages; 0: none */
};

void fake_hypervisor_initialize(struct fake_hypervisor *fake);
void fake_hypervisor_destroy(struct fake_hypervisor *fake);

/* The VP's next message; wakes its thread. The header of intercepts is filled from the register page. */
void fake_send(struct fake_hypervisor *fake, uint32_t vp, enum hv_message_type type, const void *payload,
               size_t size);
void fake_port(struct fake_hypervisor *fake, uint32_t vp, bool write, uint16_t port, unsigned size);

/* Waits until the VP's thread has answered all messages. */
void fake_wait_idle(struct fake_hypervisor *fake, uint32_t vp);

/* A register's value as last set, 0 if never; how often it was set. */
uint64_t fake_register(struct fake_hypervisor *fake, uint32_t vp, uint32_t name);
union hv_register_value fake_register_value(struct fake_hypervisor *fake, uint32_t vp, uint32_t name);
unsigned fake_register_sets(struct fake_hypervisor *fake, uint32_t vp, uint32_t name);
void fake_set_register(struct fake_hypervisor *fake, uint32_t vp, uint32_t name, uint64_t value);

/* The region that holds a GPA, or NULL. */
const struct mshv_user_mem_region *fake_region(struct fake_hypervisor *fake, uint64_t gpa);

/* The last value set; *found tells whether there is one. */
uint64_t fake_property(struct fake_hypervisor *fake, uint32_t code, bool *found);

#endif
