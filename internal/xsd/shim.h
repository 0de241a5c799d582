/* The C side of the libxml2 engine; shim.c says how it works. */
#ifndef CLACKS_XSD_SHIM_H
#define CLACKS_XSD_SHIM_H

#include <stddef.h>
#include <libxml/xmlschemas.h>

typedef struct {
	char *file;    /* NULL for the document itself */
	char *message; /* full text, never cut short */
	int line, column;
} clacks_issue;

typedef struct {
	clacks_issue *items;
	int count, capacity;
	int max_count;    /* no more than this many are kept */
	size_t max_bytes; /* nor when their messages have this many bytes */
	size_t bytes;
	int no_memory;
} clacks_issues;

typedef struct {
	char *name;
	char *data;
	int size;
} clacks_file;

/* Must run once, before anything else and before there is a second thread in libxml2. */
void clacks_init(void);

/* Compiles the first file. NULL when there are issues or memory is short. */
xmlSchemaPtr clacks_compile(const clacks_file *files, int count, clacks_issues *issues);

/* Parses and validates. 0: done, issues say the rest; otherwise libxml2 itself failed. */
int clacks_validate(xmlSchemaPtr schema, const char *data, int size, clacks_issues *issues);

void clacks_issues_free(clacks_issues *issues);

#endif
