// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "hv/loam.h"
#include "uapi/loam.h"
#include "counters.h"
#include "host.h"
#include "hypercall.h"

static struct loam_host_information host_information;

/* At most a chunk of the log; the file's position is the log's. */
static ssize_t host_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
    const struct loam_output_read_log *output;
    struct loam_input_read_log *input;
    struct call_pages pages;
    struct hypercall call = {.control = LOAM_HVCALL_READ_LOG};
    ssize_t result;

    if (*position < 0)
        return -EINVAL;
    if (call_pages_allocate(&pages))
        return -ENOMEM;
    input = pages.input;
    output = pages.output;
    call.input = hypercall_address(input);
    call.output = hypercall_address(output);
    input->position = *position;
    input->size = min_t(size_t, size, LOAM_LOG_CHUNK);
    result = hypercall_errno(hypercall_run(&call));
    if (!result) {
        result = min(output->size, input->size);
        if (copy_to_user(buffer, output->text, result))
            result = -EFAULT;
        else
            *position = output->position + result;
    }
    call_pages_free(&pages);
    return result;
}

static long get_statistics(struct loam_statistics __user *argument)
{
    struct loam_output_get_statistics *result;
    struct loam_input_get_statistics input;
    long error;

    if (copy_from_user(&input, argument, sizeof(input)))
        return -EFAULT;
    result = kzalloc(sizeof(*result), GFP_KERNEL);
    if (!result)
        return -ENOMEM;
    error = hypercall_errno(
        hypercall_small(LOAM_HVCALL_GET_STATISTICS, &input, sizeof(input), result, sizeof(*result)));
    if (!error && copy_to_user(&argument->result, result, sizeof(*result)))
        error = -EFAULT;
    kfree(result);
    return error;
}

static long host_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
    switch (command) {
    case LOAM_GET_HOST_INFORMATION:
        return copy_to_user((void __user *)argument, &host_information, sizeof(host_information)) ? -EFAULT
                                                                                                  : 0;
    case LOAM_GET_STATISTICS:
        return get_statistics((struct loam_statistics __user *)argument);
    default:
        return -ENOTTY;
    }
}

static const struct file_operations host_operations = {
    .owner = THIS_MODULE,
    .read = host_read,
    .unlocked_ioctl = host_ioctl,
    .llseek = no_seek_end_llseek,
};

static struct miscdevice host_device = {
    .minor = MISC_DYNAMIC_MINOR,
    .name = "loam",
    .mode = 0440,
    .fops = &host_operations,
    .groups = counter_groups,
};

int host_device_register(const struct hypervisor_identity *identity)
{
    /* The beginning of loam_statistics is what the hypercall takes. */
    static_assert(offsetof(struct loam_statistics, result) == sizeof(struct loam_input_get_statistics));

    host_information.interface_version = identity->interface_version;
    host_information.logical_processors = identity->logical_processors;
    return misc_register(&host_device);
}

void host_device_unregister(void)
{
    misc_deregister(&host_device);
}
