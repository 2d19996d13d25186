/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the compiler's stack guards call; it does not see that before it has compiled everything else. */
#include "hv/types.h"
#include "kernel/log.h"

/* Set by initialize(), before any protected function that returns after it has been called. */
__attribute__((used)) uintptr_t __stack_chk_guard = 0x00C0FFEE0D15EA5Eull;
void __stack_chk_fail(void) __attribute__((noreturn, used));

void __stack_chk_fail(void)
{
    panic("a function wrote beyond its local variables");
}
