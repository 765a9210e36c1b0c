package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/annalhq/annal/internal/fault"
)

// unreadable tells of all values that are not of their setting's form at once, by the setting's name and with an example. env's own error names the
// field of the struct, which nobody who sets a variable has seen. The cause stays out: it holds values.
func unreadable(err error, given map[string]string) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "a setting can't be read")
	}
	var told []string
	for _, one := range all.Errors {
		var form env.ParseError
		if !errors.As(one, &form) {
			return fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "a setting can't be read")
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(form.Name)
		name, not := field.Tag.Get("env"), ""
		if field.Tag.Get("secret") == "" {
			not = fmt.Sprintf(", not %q", given[name])
		}
		told = append(told, fmt.Sprintf("%s is %s%s", name, formOf(field), not))
	}
	return fault.New(fault.Invalid, "SETTING_INVALID", strings.Join(told, "; "))
}

// formOf says in words what a setting holds; its default is the example.
func formOf(field reflect.StructField) string {
	switch {
	case field.Type == reflect.TypeFor[time.Duration]():
		return "a time with a unit like " + field.Tag.Get("envDefault") + " or 1m30s"
	case field.Type.Kind() == reflect.Bool:
		return "true or false"
	case field.Type.Kind() >= reflect.Int && field.Type.Kind() <= reflect.Uint64:
		return "a whole number like " + field.Tag.Get("envDefault")
	}
	return "of another form"
}
