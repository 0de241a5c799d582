package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"clacks/xquery"
)

// folder is what a query may read: the regular files below a folder. Neither ".." nor a symbolic link leads out of it.
type folder struct {
	root *os.Root
	path string // absolute
	base string // the URI that the query's own URIs are relative to
}

func openFolder(path, base string) (*folder, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(base) + "/"}
	return &folder{root: root, path: path, base: uri.String()}, nil
}

// errOutside is about a URI that is no file of the folder.
var errOutside = errors.New("it is no file of the folder that --allow-files names")

// read reads the file that a URI names, and says where it is.
func (f *folder) read(uri string, most int64) (text []byte, path string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" {
		return nil, "", errOutside
	}
	path = filepath.FromSlash(u.Path)
	relative, err := filepath.Rel(f.path, path)
	if err != nil || !filepath.IsLocal(relative) {
		return nil, "", errOutside
	}
	about, err := f.root.Stat(relative) // before it is opened: opening a pipe would wait
	if err != nil {
		return nil, "", err
	}
	if !about.Mode().IsRegular() {
		return nil, "", &fs.PathError{Op: "read", Path: path, Err: errOutside}
	}
	file, err := f.root.Open(relative)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = file.Close() }()
	text, err = readAtMost(file, path, most)
	return text, path, err
}

// modules finds library modules at the locations that an import names.
func (r *xqueryRun) modules(namespace string, locations []string) ([]xquery.Module, error) {
	base, err := url.Parse(r.folder.base)
	if err != nil {
		return nil, err
	}
	var found []xquery.Module
	for _, location := range locations {
		ref, err := url.Parse(location)
		if err != nil {
			return nil, err
		}
		text, path, err := r.folder.read(base.ResolveReference(ref).String(), xquery.MaxSource)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", location, err)
		}
		r.sources[path] = string(text)
		found = append(found, xquery.Module{Source: string(text), File: path})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the import of %q does not say at which location it is", namespace)
	}
	return found, nil
}

// readDocument is fn:doc.
func (r *xqueryRun) readDocument(_ context.Context, uri string) (*xquery.Document, error) {
	text, path, err := r.folder.read(uri, int64(r.MaxInput))
	if err != nil {
		return nil, err
	}
	return r.parse(text, path)
}

// readText is fn:unparsed-text.
func (r *xqueryRun) readText(_ context.Context, uri string) ([]byte, error) {
	text, _, err := r.folder.read(uri, int64(r.MaxInput))
	return text, err
}
