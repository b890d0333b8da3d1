/* A kernel that this machine ran before it was reset. */
#ifndef SAVEOOPS_COM32_AFTER_RESET_H
#define SAVEOOPS_COM32_AFTER_RESET_H
#include "plan.h"

/*
 * Looks through the RAM below 4 GiB for the crash region of a kernel that has not ended in an orderly way, and starts its
 * crash kernel. Returns, without a word, when there is none, or anything about it is not as the build of this payload, or of
 * another in the list beside its folder, made it.
 * module: file name of the running module
 */
#ifdef __i386__
void capture_after_reset(const struct kept_region *own, const char *module);
#else
/* The module for UEFI: by the time it runs, firmware and its programs have used memory anywhere. */
static inline void capture_after_reset(const struct kept_region *own, const char *module)
{
	(void)own;
	(void)module;
}
#endif

#endif
