package queries

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// Page asks for a part of a list, as the Relay specification of cursor connections names it. Without First and Last it is
// the first DefaultPage elements.
type Page struct {
	First  *int
	After  string
	Last   *int
	Before string
}

// Sizes of a page.
const (
	DefaultPage = 20
	MaxPage     = 100
)

// Connection is a page of a list.
type Connection[T any] struct {
	Edges    []Edge[T]
	PageInfo PageInfo
}

// Nodes returns the elements without their cursors.
func (c Connection[T]) Nodes() []T {
	nodes := make([]T, len(c.Edges))
	for i, e := range c.Edges {
		nodes[i] = e.Node
	}
	return nodes
}

// Edge is an element and where it stands.
type Edge[T any] struct {
	Cursor string
	Node   T
}

// PageInfo says where a page stands.
type PageInfo struct {
	HasNextPage, HasPreviousPage bool
	StartCursor, EndCursor       string // "" on an empty page
}

// The faults of paging.
var (
	ErrCursor = fault.New(fault.Invalid, "CURSOR_INVALID", "the cursor is not one of this list; take it from an edge of an earlier page")
	ErrPage   = fault.New(fault.Invalid, "PAGE_INVALID", "first or last must be 1 to 100, and not both be given")
)

// listing is a list that can be paged: rows of SELECT columns FROM from WHERE all of where, in the order of key. The key is
// unique; its first part may be a time.
type listing struct {
	name    string // stands in cursors, so that one of another list is refused
	columns string
	from    string
	where   []string
	args    []any
	key     []string // SQL of one or two columns
	types   []string // of the key's columns in SQL
	newest  bool     // descending
	group   string   // GROUP BY, if the rows are sums; then the conditions on the key are HAVING
}

// arg adds an argument and returns its placeholder.
func (l *listing) arg(v any) string {
	l.args = append(l.args, v)
	return "$" + strconv.Itoa(len(l.args))
}

// only adds a condition with one argument, written as a question mark.
func (l *listing) only(condition string, v any) {
	l.where = append(l.where, strings.Replace(condition, "?", l.arg(v), 1))
}

// pageOf reads a page. keyOf returns a row's key as text; convert makes the nodes of all rows at once.
func pageOf[Row, T any](ctx context.Context, q *Queries, l listing, p Page, keyOf func(Row) []string, convert func(context.Context, []Row) ([]T, error)) (Connection[T], error) {
	size, backwards, err := p.size()
	if err != nil {
		return Connection[T]{}, err
	}
	sql, err := l.sql(p, size, backwards)
	if err != nil {
		return Connection[T]{}, err
	}
	rows, err := collect[Row](ctx, q, sql, l.args...)
	if err != nil {
		return Connection[T]{}, err
	}
	more := len(rows) > size
	if more {
		rows = rows[:size]
	}
	if backwards {
		slices.Reverse(rows)
	}
	nodes, err := convert(ctx, rows)
	if err != nil {
		return Connection[T]{}, err
	}
	c := Connection[T]{Edges: make([]Edge[T], len(rows))}
	for i, row := range rows {
		c.Edges[i] = Edge[T]{Cursor: l.cursor(keyOf(row)), Node: nodes[i]}
	}
	c.PageInfo = PageInfo{HasNextPage: more, HasPreviousPage: p.After != ""}
	if backwards {
		c.PageInfo.HasNextPage, c.PageInfo.HasPreviousPage = p.Before != "", more
	}
	if n := len(c.Edges); n > 0 {
		c.PageInfo.StartCursor, c.PageInfo.EndCursor = c.Edges[0].Cursor, c.Edges[n-1].Cursor
	}
	return c, nil
}

func (p Page) size() (n int, backwards bool, err error) {
	switch {
	case p.First != nil && p.Last != nil:
		return 0, false, ErrPage
	case p.First != nil:
		n = *p.First
	case p.Last != nil:
		n, backwards = *p.Last, true
	default:
		n = DefaultPage
	}
	if n < 1 || n > MaxPage {
		return 0, false, ErrPage
	}
	return n, backwards, nil
}

// sql asks for one row more than the page holds: it tells whether there is a next one.
func (l *listing) sql(p Page, size int, backwards bool) (string, error) {
	direction, after, before := " ASC", " > ", " < "
	if l.newest {
		after, before = before, after
	}
	if l.newest != backwards {
		direction = " DESC"
	}
	conditions := slices.Clone(l.where)
	var having []string
	for _, bound := range []struct{ cursor, operator string }{{p.After, after}, {p.Before, before}} {
		if bound.cursor == "" {
			continue
		}
		condition, err := l.bound(bound.cursor, bound.operator)
		if err != nil {
			return "", err
		}
		if l.group != "" {
			having = append(having, condition)
		} else {
			conditions = append(conditions, condition)
		}
	}
	sql := "SELECT " + l.columns + " FROM " + l.from
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	if l.group != "" {
		sql += " GROUP BY " + l.group
	}
	if len(having) > 0 {
		sql += " HAVING " + strings.Join(having, " AND ")
	}
	return sql + " ORDER BY " + strings.Join(l.key, direction+", ") + direction + " LIMIT " + strconv.Itoa(size+1), nil
}

func (l *listing) bound(cursor, operator string) (string, error) {
	values, err := l.read(cursor)
	if err != nil {
		return "", err
	}
	placeholders := make([]string, len(values))
	for i, v := range values {
		placeholders[i] = l.arg(v) + "::text::" + l.types[i]
	}
	return "(" + strings.Join(l.key, ", ") + ")" + operator + "(" + strings.Join(placeholders, ", ") + ")", nil
}

// cursor is base64url of a JSON array: the list's name and the key.
func (l *listing) cursor(key []string) string {
	b, err := json.Marshal(append([]string{l.name}, key...))
	if err != nil {
		return "" // strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (l *listing) read(cursor string) ([]string, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) > 4096 {
		return nil, ErrCursor
	}
	var parts []string
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != len(l.key)+1 || parts[0] != l.name {
		return nil, ErrCursor
	}
	for i, part := range parts[1:] {
		if strings.ContainsRune(part, 0) {
			return nil, ErrCursor
		}
		if l.types[i] == "timestamptz" {
			if _, err := time.Parse(time.RFC3339Nano, part); err != nil {
				return nil, ErrCursor
			}
		}
	}
	return parts[1:], nil
}

func timeKey(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
