/* The other payloads of an installed system: after-reset.bin beside their folders. */
#ifndef SAVEOOPS_COM32_KEPT_LIST_H
#define SAVEOOPS_COM32_KEPT_LIST_H
#include "plan.h"

/*
 * Reads the list that belongs to a module's file, DIR/FOLDER/NAME.c32: DIR/after-reset.bin.
 * NULL: there is none, or one that `saveoops update` of this version has not written.
 */
const struct kept_list *read_kept_list(const char *module);

/* Whether it may be used. No range in it leads out of a region of the size that is said with it. The list is as before. */
int kept_list_is_sane(struct kept_list *list);

/* Writes the list's file name for a module's into `name`, `size` bytes. 0 when it does not fit, or the module is in no folder. */
int kept_list_name(const char *module, char *name, usize size);

#endif
