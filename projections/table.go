package projections

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/fault"
)

// Head is what every row begins with; the projector fills it. Position and Events are about the way a row was made, not
// about what is so, and stay out of the digest.
type Head struct {
	ID       string `db:"id"`
	Position int64  `db:"position,volatile"` // of the last event folded into the row
	Events   int64  `db:"events,volatile"`   // how many events were folded into the row
}

// kind is how a field is stored.
type kind int

const (
	text kind = iota
	bigint
	boolean
	timestamp // the zero time is NULL
	date      // a string "2006-01-02"
	texts     // []string
	document  // anything else, as jsonb; what marshals to null is NULL
)

// kinds says how a column of each kind is written from unnest and read back.
var kinds = [...]struct{ array, cast, read string }{
	text:      {"text[]", "", ""},
	bigint:    {"bigint[]", "", ""},
	boolean:   {"boolean[]", "", ""},
	timestamp: {"timestamptz[]", "", ""},
	date:      {"text[]", "::date", "::text"},
	texts:     {"text[]", "::text[]", ""},
	document:  {"text[]", "::jsonb", "::text"},
}

type column struct {
	name     string
	kind     kind
	index    []int
	volatile bool
	hidden   []string // keys inside a document that stay out of the digest
}

// table maps a row type to its table and holds the SQL made from it.
type table struct {
	row             reflect.Type
	schema          string
	columns         []column
	load, save, all string
}

func schemaOf(name string, version int) string { return name + "_v" + strconv.Itoa(version) }

func tableOf[Row any](name string, version int) (*table, error) {
	t := &table{row: reflect.TypeFor[Row](), schema: schemaOf(name, version)}
	if t.row.Kind() != reflect.Struct {
		return nil, fault.New(fault.Invalid, "ROW_INVALID", "a row is a struct")
	}
	if head, ok := t.row.FieldByName("Head"); !ok || !head.Anonymous || head.Type != reflect.TypeFor[Head]() || head.Index[0] != 0 {
		return nil, fault.New(fault.Invalid, "ROW_INVALID", "a row begins with an embedded Head")
	}
	for _, f := range reflect.VisibleFields(t.row) {
		if f.Anonymous {
			continue
		}
		c, err := columnOf(f)
		if err != nil {
			return nil, err
		}
		t.columns = append(t.columns, c)
	}
	t.statements(pgx.Identifier{t.schema, name}.Sanitize())
	return t, nil
}

// columnOf reads a tag of the form `db:"name,volatile"`, `db:"name,date"` or `db:"name,without=at"`.
func columnOf(f reflect.StructField) (column, error) {
	parts := strings.Split(f.Tag.Get("db"), ",")
	c := column{name: parts[0], index: f.Index, kind: kindOf(f.Type)}
	if c.name == "" || !f.IsExported() {
		return c, fault.Newf(fault.Invalid, "ROW_INVALID", "field %s needs a db tag and a capital", f.Name)
	}
	for _, option := range parts[1:] {
		hidden, isHidden := strings.CutPrefix(option, "without=")
		switch {
		case option == "volatile":
			c.volatile = true
		case option == "date" && c.kind == text:
			c.kind = date
		case isHidden && c.kind == document:
			c.hidden = append(c.hidden, hidden)
		default:
			return c, fault.Newf(fault.Invalid, "ROW_INVALID", "field %s: option %q is not for this type", f.Name, option)
		}
	}
	return c, nil
}

func kindOf(t reflect.Type) kind {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return timestamp
	case t == reflect.TypeFor[[]string]():
		return texts
	}
	switch t.Kind() {
	case reflect.String:
		return text
	case reflect.Int, reflect.Int64:
		return bigint
	case reflect.Bool:
		return boolean
	default:
		return document
	}
}

func (t *table) statements(name string) {
	var columns, reads, alias, casts, params, sets []string
	for i, c := range t.columns {
		quoted, k := pgx.Identifier{c.name}.Sanitize(), kinds[c.kind]
		columns = append(columns, quoted)
		reads = append(reads, quoted+k.read)
		alias = append(alias, "c"+strconv.Itoa(i))
		casts = append(casts, "u.c"+strconv.Itoa(i)+k.cast)
		params = append(params, "$"+strconv.Itoa(i+1)+"::"+k.array)
		if i > 0 {
			sets = append(sets, quoted+"=excluded."+quoted)
		}
	}
	list := func(s []string) string { return strings.Join(s, ",") }
	t.all = "SELECT " + list(reads) + " FROM " + name
	t.load = t.all + " WHERE id = ANY($1)"
	t.save = "INSERT INTO " + name + " (" + list(columns) + ") SELECT " + list(casts) + " FROM unnest(" + list(params) +
		") AS u(" + list(alias) + ") ON CONFLICT (id) DO UPDATE SET " + list(sets)
}

// blank returns a new row: a pointer to the row type with its id.
func (t *table) blank(id string) any {
	row := reflect.New(t.row)
	head(row.Interface()).ID = id
	return row.Interface()
}

// head returns the row's Head, which stands first.
func head(row any) *Head { return reflect.ValueOf(row).Elem().Field(0).Addr().Interface().(*Head) }

// scan reads one row of load or all.
func (t *table) scan(rows pgx.CollectableRow) (any, error) {
	row := reflect.New(t.row)
	targets, documents := make([]any, len(t.columns)), make([]*string, len(t.columns))
	times := make([]*time.Time, len(t.columns))
	for i, c := range t.columns {
		switch c.kind {
		case document:
			targets[i] = &documents[i]
		case timestamp:
			targets[i] = &times[i]
		default:
			targets[i] = row.Elem().FieldByIndex(c.index).Addr().Interface()
		}
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	for i, c := range t.columns {
		field := row.Elem().FieldByIndex(c.index)
		if times[i] != nil {
			field.Set(reflect.ValueOf(times[i].UTC()))
		}
		if documents[i] != nil {
			if err := json.Unmarshal([]byte(*documents[i]), field.Addr().Interface()); err != nil {
				return nil, err
			}
		}
	}
	return row.Interface(), nil
}

// arguments returns the arrays of save, a column each.
func (t *table) arguments(rows []any) ([]any, error) {
	values := make([]reflect.Value, len(rows))
	for i, r := range rows {
		values[i] = reflect.ValueOf(r).Elem()
	}
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		arg, err := c.gather(values)
		if err != nil {
			return nil, err
		}
		args[i] = arg
	}
	return args, nil
}

func (c column) gather(rows []reflect.Value) (any, error) {
	switch c.kind {
	case text, date:
		return each(rows, c.index, func(v reflect.Value) string { return v.String() }), nil
	case bigint:
		return each(rows, c.index, func(v reflect.Value) int64 { return v.Int() }), nil
	case boolean:
		return each(rows, c.index, func(v reflect.Value) bool { return v.Bool() }), nil
	case timestamp:
		return each(rows, c.index, timeOrNull), nil
	case texts:
		return each(rows, c.index, func(v reflect.Value) string { return arrayLiteral(v.Interface().([]string)) }), nil
	default:
		return documentsOf(rows, c.index)
	}
}

func each[T any](rows []reflect.Value, index []int, get func(reflect.Value) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = get(r.FieldByIndex(index))
	}
	return out
}

func timeOrNull(v reflect.Value) *time.Time {
	at := v.Interface().(time.Time)
	if at.IsZero() {
		return nil
	}
	return &at
}

func documentsOf(rows []reflect.Value, index []int) ([]*string, error) {
	out := make([]*string, len(rows))
	for i, r := range rows {
		b, err := json.Marshal(r.FieldByIndex(index).Interface())
		if err != nil {
			return nil, err
		}
		if s := string(b); s != "null" {
			out[i] = &s
		}
	}
	return out, nil
}

// arrayLiteral writes PostgreSQL's text form of an array (manual, 8.15.6): unnest would flatten an array of arrays.
func arrayLiteral(values []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for j := range len(v) {
			if v[j] == '"' || v[j] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(v[j])
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
