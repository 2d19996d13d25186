// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "routing.h"

struct route {
    u32 address;
    u32 data;
    bool present;
};

/* Indexed by GSI. Immutable once published. */
struct routing_table {
    struct rcu_head rcu;
    u32 count;
    struct route routes[];
};

static int check_entries(const struct mshv_user_irq_entry *entries, u32 count, u32 *end)
{
    u32 i;

    *end = 0;
    for (i = 0; i < count; i++) {
        if (entries[i].gsi >= MSHV_MAX_GUEST_IRQS || entries[i].address_hi)
            return -EINVAL;
        *end = max(*end, entries[i].gsi + 1);
    }
    return 0;
}

static struct routing_table *build(const struct mshv_user_irq_entry *entries, u32 count)
{
    struct routing_table *table;
    u32 end, i;

    if (check_entries(entries, count, &end))
        return ERR_PTR(-EINVAL);
    table = kvzalloc(struct_size(table, routes, end), GFP_KERNEL_ACCOUNT);
    if (!table)
        return ERR_PTR(-ENOMEM);
    table->count = end;
    for (i = 0; i < count; i++) {
        struct route *route = &table->routes[entries[i].gsi];

        if (route->present) {
            kvfree(table);
            return ERR_PTR(-EINVAL);
        }
        *route = (struct route){.address = entries[i].address_lo, .data = entries[i].data, .present = true};
    }
    return table;
}

static void replace(struct mshv_partition *partition, struct routing_table *table)
{
    struct routing_table *old =
        rcu_replace_pointer(partition->routing, table, lockdep_is_held(&partition->mutex));

    if (old)
        kvfree_rcu(old, rcu);
}

int routing_set(struct mshv_partition *partition, const struct mshv_user_irq_table __user *argument)
{
    struct mshv_user_irq_entry *entries;
    struct mshv_user_irq_table request;
    struct routing_table *table;

    if (copy_from_user(&request, argument, sizeof(request)))
        return -EFAULT;
    if (request.nr > MSHV_MAX_GUEST_IRQS || request.rsvd)
        return -EINVAL;
    if (!request.nr) {
        replace(partition, NULL);
        return 0;
    }
    entries = vmemdup_user(argument->entries, array_size(request.nr, sizeof(*entries)));
    if (IS_ERR(entries))
        return PTR_ERR(entries);
    table = build(entries, request.nr);
    kvfree(entries);
    if (IS_ERR(table))
        return PTR_ERR(table);
    replace(partition, table);
    return 0;
}

/* The fields of an MSI's address and data (SDM vol. 3A, "Message Signalled Interrupts"). */
static void decode(const struct route *route, struct hv_input_assert_virtual_interrupt *interrupt)
{
    *interrupt = (struct hv_input_assert_virtual_interrupt){
        .interrupt_type = route->data >> 8 & 7,
        .interrupt_flags = (route->data >> 15 & 1 ? HV_INTERRUPT_LEVEL_TRIGGERED : 0) |
                           (route->address >> 2 & 1 ? HV_INTERRUPT_LOGICAL_DESTINATION : 0),
        .destination = route->address >> 12 & 0xFF,
        .vector = route->data & 0xFF,
    };
}

bool routing_find(struct mshv_partition *partition, u32 gsi,
                  struct hv_input_assert_virtual_interrupt *interrupt)
{
    const struct routing_table *table;
    bool found = false;

    rcu_read_lock();
    table = rcu_dereference(partition->routing);
    if (table && gsi < table->count && table->routes[gsi].present) {
        decode(&table->routes[gsi], interrupt);
        found = true;
    }
    rcu_read_unlock();
    return found;
}

void routing_release(struct mshv_partition *partition)
{
    kvfree(rcu_dereference_protected(partition->routing, true));
}
