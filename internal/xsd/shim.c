//go:build cgo && libxml2

/*
 * A thin layer over libxml2's schema validator.
 *
 * Errors are gathered through the structured callbacks of each parser and validation context, never through the global
 * ones, so threads do not meet. The one global that we need is the loader of external entities (libxml2 offers none per
 * context before 2.14): it is replaced once, for good, by one that serves the schema files which the calling thread is
 * compiling at this moment and refuses everything else. During a validation a thread has no files, so nothing can be
 * loaded at all.
 */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlIO.h>
#include <libxml/xmlschemastypes.h>

#if LIBXML_VERSION >= 21200
typedef const xmlError *error_ptr;
#else
typedef xmlErrorPtr error_ptr;
#endif

/*
 * Entities, external subsets, XInclude and the larger limits stay off. Nothing needs to silence libxml2: where a structured
 * handler is set, as it is here throughout, it prints nothing.
 */
#define PARSE_OPTIONS (XML_PARSE_NONET | XML_PARSE_BIG_LINES)

typedef struct {
	const clacks_file *files;
	int count;
	clacks_issues *issues;
} file_set;

static _Thread_local file_set *current_files;

static void add_issue(clacks_issues *issues, const char *file, int line, int column, const char *message) {
	if (issues->count >= issues->max_count || issues->bytes >= issues->max_bytes)
		return;
	if (issues->count == issues->capacity) {
		int capacity = issues->capacity ? 2 * issues->capacity : 4;
		clacks_issue *items = realloc(issues->items, capacity * sizeof(clacks_issue));
		if (items == NULL) {
			issues->no_memory = 1;
			return;
		}
		issues->items = items;
		issues->capacity = capacity;
	}
	if (message == NULL)
		message = "unknown error";
	size_t length = strlen(message);
	while (length > 0 && (message[length - 1] == '\n' || message[length - 1] == ' '))
		length--;
	clacks_issue *issue = &issues->items[issues->count];
	issue->message = strndup(message, length);
	issue->file = file ? strdup(file) : NULL;
	issue->line = line;
	issue->column = column;
	if (issue->message == NULL || (file && issue->file == NULL)) {
		free(issue->message);
		free(issue->file);
		issues->no_memory = 1;
		return;
	}
	issues->bytes += length;
	issues->count++;
}

void clacks_issues_free(clacks_issues *issues) {
	for (int i = 0; i < issues->count; i++) {
		free(issues->items[i].file);
		free(issues->items[i].message);
	}
	free(issues->items);
	memset(issues, 0, sizeof *issues);
}

/* Of a parser error int2 is the column; of a schema error it has other meanings. */
static void on_error(clacks_issues *issues, error_ptr error) {
	if (error->level < XML_ERR_ERROR)
		return;
	int parser = error->domain == XML_FROM_PARSER || error->domain == XML_FROM_NAMESPACE;
	add_issue(issues, error->file, error->line, parser ? error->int2 : 0, error->message);
}

static void on_schema_error(void *data, error_ptr error) { on_error(data, error); }

static void on_parse_error(void *data, error_ptr error) {
	xmlParserCtxtPtr ctxt = data; /* libxml2 hands out the parser context, whatever sax is told */
	if (ctxt != NULL && ctxt->_private != NULL)
		on_error(ctxt->_private, error);
}

/*
 * What libxml2 reports outside of our contexts (a schema file that does not parse, memory) goes to a handler that each
 * thread has of its own. It is set while the thread is here, and put back before it leaves.
 */
static void on_stray_error(void *data, error_ptr error) {
	if (data != NULL)
		on_error(data, error);
}

static void enter(clacks_issues *issues) { xmlSetStructuredErrorFunc(issues, on_stray_error); }

static void leave(void) {
	xmlSetStructuredErrorFunc(NULL, NULL);
	xmlResetLastError();
}

static xmlParserInputPtr load_file(const char *url, const char *id, xmlParserCtxtPtr ctxt) {
	(void)id;
	if (current_files == NULL || url == NULL)
		return NULL;
	for (int i = 0; i < current_files->count; i++) {
		const clacks_file *file = &current_files->files[i];
		if (strcmp(file->name, url) != 0)
			continue;
		xmlParserInputBufferPtr buffer =
			xmlParserInputBufferCreateMem(file->data, file->size, XML_CHAR_ENCODING_NONE);
		if (buffer == NULL)
			return NULL;
		xmlParserInputPtr input = xmlNewIOInputStream(ctxt, buffer, XML_CHAR_ENCODING_NONE);
		if (input == NULL) {
			xmlFreeParserInputBuffer(buffer);
			return NULL;
		}
		input->filename = (char *)xmlStrdup((const xmlChar *)url);
		return input;
	}
	char message[512];
	snprintf(message, sizeof message, "the schema file '%s' is not among the given ones", url);
	add_issue(current_files->issues, NULL, 0, 0, message);
	return NULL;
}

void clacks_init(void) {
	xmlInitParser();
	xmlSchemaInitTypes();
	xmlSetExternalEntityLoader(load_file);
}

xmlSchemaPtr clacks_compile(const clacks_file *files, int count, clacks_issues *issues) {
	file_set set = {files, count, issues};
	xmlSchemaPtr schema = NULL;
	current_files = &set;
	enter(issues);
	xmlSchemaParserCtxtPtr ctxt = xmlSchemaNewParserCtxt(files[0].name);
	if (ctxt == NULL) {
		issues->no_memory = 1;
	} else {
		xmlSchemaSetParserStructuredErrors(ctxt, on_schema_error, issues);
		schema = xmlSchemaParse(ctxt);
		xmlSchemaFreeParserCtxt(ctxt);
	}
	leave();
	current_files = NULL;
	if (schema != NULL && issues->count > 0) {
		xmlSchemaFree(schema);
		schema = NULL;
	}
	return schema;
}

static int validate_tree(xmlSchemaPtr schema, xmlDocPtr doc, clacks_issues *issues) {
	xmlSchemaValidCtxtPtr ctxt = xmlSchemaNewValidCtxt(schema);
	if (ctxt == NULL)
		return -1;
	xmlSchemaSetValidStructuredErrors(ctxt, on_schema_error, issues);
	int code = xmlSchemaValidateDoc(ctxt, doc);
	xmlSchemaFreeValidCtxt(ctxt);
	if (code != 0 && issues->count == 0)
		return code; /* failed without saying why */
	return 0;
}

int clacks_validate(xmlSchemaPtr schema, const char *data, int size, clacks_issues *issues) {
	xmlParserCtxtPtr parser = xmlNewParserCtxt();
	if (parser == NULL)
		return -1;
	enter(issues);
	parser->_private = issues;
	parser->sax->serror = on_parse_error;
	xmlDocPtr doc = xmlCtxtReadMemory(parser, data, size, NULL, NULL, PARSE_OPTIONS);
	int code = 0;
	if (doc != NULL && doc->intSubset != NULL)
		add_issue(issues, NULL, 1, 1, "a DOCTYPE is not allowed");
	if (doc == NULL && issues->count == 0)
		code = -1;
	if (doc != NULL && issues->count == 0)
		code = validate_tree(schema, doc, issues);
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(parser);
	leave();
	return code;
}
