// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM with one VP that keeps a processor busy and one that waits for its start, until it is ended from
 * outside. Prints "the guest runs" when it does, and the errno with which a machine that goes down ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT 0x10

int main(void)
{
    struct code code = {.size = 0};
    struct hv_message message;
    struct machine machine;

    code_out(&code, PORT, 1);
    CODE(&code, CODE_CLI, CODE_SPIN);
    machine_start(&machine, &code);
    machine_create_vp(&machine, 1);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), 1);
    puts("the guest runs");
    fflush(stdout);
    ioctl(machine.vp[0], MSHV_RUN_VP, &message);
    printf("the guest was ended: errno %d\n", errno);
    fflush(stdout);
    pause();
    return 1;
}
