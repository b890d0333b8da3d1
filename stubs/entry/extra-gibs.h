/* GiBs above 4 GiB that hold what the loader hands over, at most: for page tables where the CPU has no 1 GiB pages. */
#define EXTRA_GIBS 4
