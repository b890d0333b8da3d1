/* GiBs above 4 GiB that hold what the loader hands over, at most. */
#define EXTRA_GIBS 4
/* For these and for the two GiBs that the primary may lie in: a page directory each, and above 512 GiB the table that leads to it. */
#define EXTRA_TABLES (2 * (EXTRA_GIBS + 2))
