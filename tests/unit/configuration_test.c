/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's configuration: everything that can be said, and how mistakes are reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "partitions/root/worker/configuration.h"

static void test_everything(void **state)
{
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration =
        configuration_parse("{\"version\":1, \"name\":\"web1\", \"memory\":268435456, \"processors\":8,"
                            " \"kernel\":{\"path\":\"/boot/vmlinuz\", \"fd\":7}, \"initrd\":{\"path\":\"initrd\"},"
                            " \"command_line\":\"quiet\", \"reboot\":false,"
                            " \"disks\":[{\"path\":\"a.vhd\"}, {\"fd\":9, \"format\":\"raw\", \"read_only\":true}],"
                            " \"nics\":[{\"mac\":\"00-15-5D-0a-0B-0c\", \"switch\":{\"path\":\"/run/s\"}}, "
                            "{\"mac\":\"02:00:00:00:00:01\"}],"
                            " \"control\":{\"fd\":3}, \"log\":{\"path\":\"web1.log\"},"
                            " \"screen\":{\"path\":\"web1.screen\", \"address\":\"[::1]:5901\","
                            " \"password\":\"12345678\"}}",
                            "test", error);

    (void)state;
    assert_non_null(configuration);
    assert_string_equal(configuration->name, "web1");
    assert_int_equal(configuration->memory, 256 << 20);
    assert_int_equal(configuration->processors, 8);
    assert_string_equal(configuration->kernel.path, "/boot/vmlinuz");
    assert_int_equal(configuration->kernel.descriptor, 7);
    assert_string_equal(configuration->initrd.path, "initrd");
    assert_int_equal(configuration->initrd.descriptor, -1);
    assert_string_equal(configuration->command_line, "quiet");
    assert_false(configuration->reboot);
    assert_int_equal(configuration->disk_count, 2);
    assert_int_equal(configuration->disks[0].format, CONFIGURATION_DISK_VHD);
    assert_false(configuration->disks[0].read_only);
    assert_int_equal(configuration->disks[1].file.descriptor, 9);
    assert_null(configuration->disks[1].file.path);
    assert_int_equal(configuration->disks[1].format, CONFIGURATION_DISK_RAW);
    assert_true(configuration->disks[1].read_only);
    assert_int_equal(configuration->nic_count, 2);
    assert_memory_equal(configuration->nics[0].mac, "\x00\x15\x5D\x0A\x0B\x0C", 6);
    assert_string_equal(configuration->nics[0].network.path, "/run/s");
    assert_memory_equal(configuration->nics[1].mac, "\x02\0\0\0\0\1", 6);
    assert_false(configuration_file_given(&configuration->nics[1].network));
    assert_int_equal(configuration->control.descriptor, 3);
    assert_string_equal(configuration->previous_log.path, "web1.log.1");
    assert_string_equal(configuration->screen.local.path, "web1.screen");
    assert_int_equal(configuration->screen.local.descriptor, -1);
    assert_string_equal(configuration->screen.address, "[::1]:5901");
    assert_string_equal(configuration->screen.password, "12345678");
    configuration_free(configuration);
}

/* What a machine that starts by its firmware has besides. */
static void test_firmware_machine(void **state)
{
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration = configuration_parse(
        "{\"version\":1, \"name\":\"pc\", \"memory\":4194304, \"uuid\":\"00112233-4455-6677-8899-aAbBcCdDeEfF\","
        " \"firmware\":\"/b\", \"graphics_firmware\":\"/v\", \"boot\":[\"floppy\",\"network\"],"
        " \"boot_menu\":true, \"disks\":[{\"path\":\"a.vhd\"}],"
        " \"dvds\":[{}, {\"path\":\"x.iso\"}], \"floppies\":[{\"path\":\"a.vfd\", \"read_only\":true}],"
        " \"serial\":[{\"kind\":\"none\"}, {\"kind\":\"pipe\", \"fd\":5}], \"debug_exit\":244}",
        "test", error);

    (void)state;
    assert_non_null(configuration);
    assert_false(configuration_file_given(&configuration->kernel));
    assert_memory_equal(configuration->uuid, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF", 16);
    assert_string_equal(configuration->firmware, "/b");
    assert_string_equal(configuration->graphics_firmware, "/v");
    assert_null(configuration->network_firmware);
    assert_int_equal(configuration->boot_count, 2);
    assert_int_equal(configuration->boot[0], CONFIGURATION_BOOT_FLOPPY);
    assert_int_equal(configuration->boot[1], CONFIGURATION_BOOT_NETWORK);
    assert_true(configuration->boot_menu);
    assert_true(configuration->graphics);
    assert_int_equal(configuration->dvd_count, 2);
    assert_false(configuration_file_given(&configuration->dvds[0].file));
    assert_string_equal(configuration->dvds[1].file.path, "x.iso");
    assert_int_equal(configuration->floppy_count, 1);
    assert_true(configuration->floppies[0].read_only);
    assert_int_equal(configuration->serial[0].kind, CONFIGURATION_SERIAL_NONE);
    assert_int_equal(configuration->serial[1].kind, CONFIGURATION_SERIAL_PIPE);
    assert_int_equal(configuration->serial[1].file.descriptor, 5);
    assert_int_equal(configuration->debug_exit, 244);
    configuration_free(configuration);
}

static void test_defaults(void **state)
{
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration =
        configuration_parse("{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":{\"fd\":0}}", "test", error);

    (void)state;
    assert_non_null(configuration);
    assert_int_equal(configuration->processors, 1);
    assert_true(configuration->reboot);
    assert_string_equal(configuration->command_line, "");
    assert_false(configuration_file_given(&configuration->initrd));
    assert_false(configuration_file_given(&configuration->control));
    assert_false(configuration_file_given(&configuration->log));
    assert_false(configuration_file_given(&configuration->previous_log));
    assert_false(configuration_file_given(&configuration->screen.local));
    assert_null(configuration->screen.address);
    assert_string_equal(configuration_file_name(&configuration->kernel), "descriptor 0");
    assert_false(configuration->graphics); /* not for a kernel that is started directly */
    assert_null(configuration->firmware);
    assert_int_equal(configuration->boot_count, CONFIGURATION_BOOT_DEVICES);
    assert_int_equal(configuration->boot[0], CONFIGURATION_BOOT_DVD);
    assert_int_equal(configuration->serial[0].kind, CONFIGURATION_SERIAL_CONSOLE);
    assert_int_equal(configuration->serial[1].kind, CONFIGURATION_SERIAL_NONE);
    assert_int_equal(configuration->dvd_count + configuration->floppy_count + configuration->debug_exit, 0);
    configuration_free(configuration);
}

/* A configuration that is right but for one thing. */
#define WITH(text) "{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":{\"fd\":0}," text "}"

static void test_mistakes(void **state)
{
    const struct {
        const char *text;
        const char *error;
    } mistakes[] = {
        {"",                                                                                 "test: line 1, column 0: '[' or '{' expected near end of file"   },
        {"[]",                                                                               "test: must be an object, not a list"                            },
        {"{\"version\":1,}",                                                                 "test: line 1, column 14: string or '}' expected near '}'"       },
        {"{}",                                                                               "test: \"version\" is missing"                                   },
        {"{\"version\":2}",                                                                  "test: version: must be from 1 to 1, not 2"                      },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"initrd\":{\"fd\":0}}",
         "test: \"initrd\" needs \"kernel\""                                                                                                                  },
        {"{\"version\":1,\"name\":\"\",\"memory\":4194304,\"kernel\":{\"fd\":0}}",
         "test: name: must have 1 to 63 characters, not 0"                                                                                                    },
        {"{\"version\":1,\"name\":\"a\\nb\",\"memory\":4194304,\"kernel\":{\"fd\":0}}",
         "test: name: must not have control characters"                                                                                                       },
        {"{\"version\":1,\"name\":\"a\",\"memory\":1048576,\"kernel\":{\"fd\":0}}",
         "test: memory: must be from 4194304 to 1099511627776, not 1048576"                                                                                   },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194305,\"kernel\":{\"fd\":0}}",
         "test: memory: must be a multiple of 1 MiB (1048576), not 4194305"                                                                                   },
        {"{\"version\":1,\"name\":\"a\",\"memory\":-1,\"kernel\":{\"fd\":0}}",
         "test: memory: must be from 4194304 to 1099511627776, not -1"                                                                                        },
        {"{\"version\":1,\"name\":\"a\",\"memory\":\"4M\",\"kernel\":{\"fd\":0}}",
         "test: memory: must be a whole number, not a string"                                                                                                 },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":\"vmlinuz\"}",
         "test: kernel: must be an object, not a string"                                                                                                      },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":{}}",                  "test: kernel: needs \"path\" or \"fd\""                         },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":{\"fd\":-1}}",
         "test: kernel.fd: must be from 0 to 65535, not -1"                                                                                                   },
        {"{\"version\":1,\"name\":\"a\",\"memory\":4194304,\"kernel\":{\"path\":\"\"}}",
         "test: kernel.path: must not be empty"                                                                                                               },
        {WITH("\"processors\":0"),                                                           "test: processors: must be from 1 to 8, not 0"                   },
        {WITH("\"memroy\":0"),                                                               "test: unknown key \"memroy\""                                   },
        {WITH("\"name\":\"b\""),                                                             "test: line 1, column 65: duplicate object key near '\"name\"'"  },
        {WITH("\"disks\":{}"),                                                               "test: disks: must be a list, not an object"                     },
        {WITH("\"disks\":[{\"fd\":1},{\"fd\":1},{\"fd\":1},{\"fd\":1},{\"fd\":1}]"),
         "test: disks: must have at most 4 entries, not 5"                                                                                                    },
        {WITH("\"disks\":[{\"path\":\"x\"},{\"format\":\"vhd\"}]"),                          "test: disks[1]: needs \"path\" or \"fd\""                       },
        {WITH("\"disks\":[{\"path\":\"x\",\"format\":\"qcow2\"}]"),
         "test: disks[0].format: must be one of \"vhd\", \"raw\""                                                                                             },
        {WITH("\"disks\":[{\"path\":\"x\",\"read_only\":1}]"),
         "test: disks[0].read_only: must be true or false, not a number"                                                                                      },
        {WITH("\"uuid\":\"00112233-4455-6677-8899-aabbccddeef\""),
         "test: uuid: must be like \"00000000-0000-0000-0000-000000000000\""                                                                                  },
        {WITH("\"boot\":[\"disk\",\"usb\"]"),
         "test: boot[1]: must be one of \"floppy\", \"dvd\", \"disk\", \"network\""                                                                           },
        {WITH("\"boot\":[\"disk\",\"disk\"]"),                                               "test: boot: names something twice"                              },
        {WITH("\"disks\":[{\"fd\":1},{\"fd\":1},{\"fd\":1}],\"dvds\":[{},{}]"),
         "test: 3 disks leave no place for 2 DVD drives on the IDE controller's two channels"                                                                 },
        {WITH("\"dvds\":[{},{},{}]"),                                                        "test: dvds: must have at most 2 entries, not 3"                 },
        {WITH("\"floppies\":[{\"fd\":-2}]"),                                                 "test: floppies[0].fd: must be from 0 to 65535, not -2"          },
        {WITH("\"serial\":[{\"kind\":\"pty\"}]"),
         "test: serial[0].kind: must be one of \"none\", \"console\", \"file\", \"pipe\", \"socket\""                                                         },
        {WITH("\"serial\":[{\"kind\":\"file\"}]"),                                           "test: serial[0]: needs \"path\" or \"fd\""                      },
        {WITH("\"serial\":[{\"kind\":\"console\",\"fd\":1}]"),                               "test: serial[0]: takes neither \"path\" nor \"fd\""             },
        {WITH("\"serial\":[{\"kind\":\"console\"},{\"kind\":\"console\"}]"),
         "test: serial: only one port can be the console"                                                                                                     },
        {WITH("\"debug_exit\":0"),                                                           "test: debug_exit: must be from 1 to 65535, not 0"               },
        {WITH("\"screen\":{\"address\":\"127.0.0.1:1\",\"password\":\"123456789\"}"),
         "test: screen.password: must have at most 8 characters: VNC looks at no more"                                                                        },
        {WITH("\"screen\":{\"password\":\"x\"}"),                                            "test: screen: \"password\" is for \"address\", which is missing"},
        {WITH("\"nics\":[{}]"),                                                              "test: nics[0]: \"mac\" is missing"                              },
        {WITH("\"nics\":[{\"mac\":\"00-15-5D-01-02\"}]"),
         "test: nics[0].mac: \"00-15-5D-01-02\" is not a MAC address such as 00-15-5D-01-02-03"                                                               },
        {WITH("\"nics\":[{\"mac\":\"00-15-5D-01-02-0x\"}]"),
         "test: nics[0].mac: \"00-15-5D-01-02-0x\" is not a MAC address such as 00-15-5D-01-02-03"                                                            },
        {WITH("\"nics\":[{\"mac\":\"+1-15-5D-01-02-03\"}]"),
         "test: nics[0].mac: \"+1-15-5D-01-02-03\" is not a MAC address such as 00-15-5D-01-02-03"                                                            },
        {WITH("\"nics\":[{\"mac\":\"01-15-5D-01-02-03\"}]"),
         "test: nics[0].mac: \"01-15-5D-01-02-03\" is a group address; a network adapter needs one of its "
         "own"                                                                                                                                                },
        {WITH("\"nics\":[{\"mac\":\"00-15-5D-01-02-03\"},{\"mac\":\"00:15:5d:01:02:03\"}]"),
         "test: nics[0] and nics[1] have the same MAC address"                                                                                                },
        {WITH("\"nics\":[{\"mac\":\"00-15-5D-01-02-03\",\"switch\":{\"paht\":\"x\"}}]"),
         "test: nics[0].switch: unknown key \"paht\""                                                                                                         },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        char error[FIELDS_ERROR_SIZE] = "";

        assert_null(configuration_parse(mistakes[i].text, "test", error));
        assert_string_equal(error, mistakes[i].error);
    }
}

#define WITH_PARENTS(parents) WITH("\"disks\":[{\"path\":\"x\",\"parents\":[" parents "]}]")

static void test_sources(void **state)
{
    static const struct {
        const char *text, *error; /* behind "test: disks[0].parents" */
    } mistakes[] = {
        {WITH_PARENTS("{\"url\":\"http://a/b\"}"),                                "[0]: \"size\" is missing"       },
        {WITH_PARENTS("{\"url\":\"http://a/b\",\"size\":9}"),                     "[0]: \"fd\" is missing"         },
        {WITH_PARENTS("{\"url\":\"http://a/b\",\"size\":0,\"fd\":3}"),
         "[0].size: must be from 1 to 9223372036854775807, not 0"                                                  },
        {WITH_PARENTS("{\"url\":\"http://a/b\",\"size\":9,\"fd\":3},{\"fd\":4}"), ": only the last can be at a URL"},
        {WITH_PARENTS("{\"url\":\"file:///b\",\"size\":9,\"fd\":3}"),
         "[0].url: none of http://, https://, nbd://, nbds:// and nbd+unix://"                                     },
    };
    static const char sound[] = WITH_PARENTS(
        "{\"fd\":4},{\"url\":\"http://a/b\",\"size\":9,\"fd\":3,\"raw\":true,\"validator\":\"\\\"x\\\"\"}");
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration;

    (void)state;
    for (unsigned i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        assert_null(configuration_parse(mistakes[i].text, "test", error));
        assert_memory_equal(error, "test: disks[0].parents", 22);
        assert_string_equal(error + 22, mistakes[i].error);
    }
    configuration = configuration_parse(sound, "test", error);
    assert_non_null(configuration);
    assert_int_equal(configuration->disks[0].parent_count, 2);
    assert_null(configuration->disks[0].parents[0].source);
    assert_int_equal(configuration->disks[0].parents[1].file.descriptor, 3);
    assert_string_equal(configuration->disks[0].parents[1].source->url, "http://a/b");
    assert_string_equal(configuration->disks[0].parents[1].source->validator, "\"x\"");
    assert_true(configuration->disks[0].parents[1].source->raw);
    configuration_free(configuration);
}

static void test_read_from_a_pipe(void **state)
{
    const char text[] = "{\"version\":1,\"name\":\"p\",\"memory\":4194304,\"kernel\":{\"fd\":0}}";
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, sizeof text - 1), sizeof text - 1);
    close(ends[1]);
    configuration = configuration_read(ends[0], "pipe", error);
    close(ends[0]);
    assert_non_null(configuration);
    assert_string_equal(configuration->name, "p");
    configuration_free(configuration);

    assert_null(configuration_read(ends[0], "closed", error));
    assert_string_equal(error, "closed: cannot be read: Bad file descriptor");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "{\0}", 3), 3);
    close(ends[1]);
    assert_null(configuration_read(ends[0], "binary", error));
    assert_string_equal(error, "binary: is not text");
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything), cmocka_unit_test(test_firmware_machine),
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_sources),    cmocka_unit_test(test_read_from_a_pipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
