package notify

import (
	"embed"
	"io/fs"
	"path"
	"strings"
	"sync"
	"text/template"

	"github.com/annalhq/annal/internal/fault"
)

// A template is a file templates/<language>/<name>.txt: the subject in the first line, the text below it. English has them
// all; a language that has not is answered in English.
//
//go:embed templates
var files embed.FS

const fallback = "en"

// ErrTemplate answers a template that there is not, or data that it can't be filled with.
var ErrTemplate = fault.New(fault.Internal, "TEMPLATE_BROKEN", "the message can't be written")

// texts are parsed when the first message is written. A file that does not parse is a defect that the tests find.
var texts = sync.OnceValues(parse)

func parse() (*template.Template, error) {
	all := template.New("").Option("missingkey=zero")
	err := fs.WalkDir(files, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		key := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), path.Ext(name))
		_, err = all.New(key).Parse(string(body))
		return err
	})
	return all, err
}

// Known reports whether there is a template of the name.
func Known(name string) bool {
	all, err := texts()
	return err == nil && name != "" && all.Lookup(fallback+"/"+name) != nil
}

// Render writes the template's subject and text in the language, or the nearest that we have: "de-CH" is told in "de", what
// we do not speak in English. Fault: ErrTemplate.
func Render(name, language string, data map[string]string) (subject, text string, err error) {
	all, err := texts()
	if err != nil {
		return "", "", fault.Wrap(err, ErrTemplate.Kind, ErrTemplate.Code, ErrTemplate.Message)
	}
	primary, _, _ := strings.Cut(language, "-")
	for _, l := range []string{language, primary, fallback} {
		t := all.Lookup(l + "/" + name)
		if t == nil {
			continue
		}
		var b strings.Builder
		if err := t.Execute(&b, data); err != nil {
			return "", "", fault.Wrap(err, ErrTemplate.Kind, ErrTemplate.Code, ErrTemplate.Message)
		}
		subject, text, _ = strings.Cut(b.String(), "\n")
		return subject, text, nil
	}
	return "", "", ErrTemplate
}
