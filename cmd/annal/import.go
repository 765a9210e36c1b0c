package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/annalhq/annal/cmd/annal/onlineretail"
	"github.com/annalhq/annal/internal/fault"
)

func importCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "import", Short: "bring history into the shop"}
	retail := &cobra.Command{
		Use: "online-retail FILE", Short: "import sales and cancellations in the form of the UCI data set Online Retail",
		Long: `Reads a CSV file, gzipped or not, and sends its products, opening stock, customers, orders and returns as commands, at their
historical times and prices. It can be interrupted and run again: what was sent is found again, and nothing happens twice.`,
		Example: "  annal import online-retail sales.csv.gz\n  annal import report",
		Args:    exactly(1, "one file"),
	}
	orders := retail.Flags().Int("orders", 0, "orders on their way at the same time (default 256)")
	retail.RunE = func(c *cobra.Command, args []string) error {
		defer t.close()
		return importFile(c.Context(), t, args[0], onlineretail.Config{Orders: *orders}, c.OutOrStdout(), c.ErrOrStderr())
	}
	report := &cobra.Command{Use: "report", Short: "what the imports of this home did not take, and why", Args: exactly(0, "no arguments"),
		Long: "Prints a report for each file that was imported into this home: a table on a terminal, a line of JSON elsewhere."}
	lines := report.Flags().Bool("lines", false, "every line that was not imported, as JSON lines")
	report.RunE = func(c *cobra.Command, _ []string) error { return printReports(t, *lines, c.OutOrStdout()) }
	c.AddCommand(retail, report)
	return c
}

// A report is what is kept of an import, in $ANNAL_HOME/imports/<digest of the file>.json.
type report struct {
	File        string                      `json:"file"` // its name without folders
	Digest      string                      `json:"digest"`
	Finished    bool                        `json:"finished"`
	Lines       int                         `json:"lines"`
	Sales       int                         `json:"sales"`
	Cancelled   int                         `json:"cancellations"`
	Products    int                         `json:"products"`
	Customers   int                         `json:"customers"`
	Orders      int                         `json:"orders"`
	Returns     int                         `json:"returns"`
	Seconds     float64                     `json:"seconds,omitzero"`
	Replayed    int64                       `json:"replayed,omitzero"` // commands that were there already
	Refusals    int64                       `json:"ordersNotCarriedOut,omitzero"`
	ByReason    map[onlineretail.Reason]int `json:"byReason"`
	NotImported []onlineretail.Refused      `json:"notImported,omitzero"`
}

func importFile(ctx context.Context, t *tool, path string, icfg onlineretail.Config, stdout, stderr io.Writer) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	plan, rep, err := readPlan(path)
	if err != nil {
		return err
	}
	where := filepath.Join(cfg.Home, "imports", rep.Digest+".json")
	if err := rep.save(where); err != nil {
		return err
	}
	store, err := t.store(cfg)
	if err != nil {
		return err
	}
	handlers, err := t.commands(ctx, cfg, store)
	if err != nil {
		return t.away(ctx, err)
	}
	p := &onlineretail.Progress{AllProducts: int64(len(plan.Products)), AllCustomers: int64(len(plan.Customers)),
		AllOrders: int64(len(plan.Orders)), AllReturns: int64(len(plan.Returns))}
	began := time.Now()
	stop := showProgress(stderr, p, began)
	err = onlineretail.Run(ctx, handlers, store, plan, icfg, p)
	stop()
	if err != nil {
		if ctx.Err() != nil {
			return fault.Wrap(ctx.Err(), fault.Timeout, "IMPORT_INTERRUPTED", "interrupted; run the same command again to go on")
		}
		return t.away(ctx, err)
	}
	differing := rep.conclude(p, time.Since(began))
	if err := errors.Join(rep.save(where), rep.print(stdout)); err != nil {
		return err
	}
	return differing
}

// conclude puts the outcome of an import that came to its end into the report. Fault: IMPORT_DIFFERS if invoices are in the shop with
// other lines.
func (r *report) conclude(p *onlineretail.Progress, took time.Duration) error {
	r.Finished, r.Seconds, r.Replayed, r.Refusals = true, took.Seconds(), p.Replayed.Load(), p.Cancelled.Load()
	differing := p.Differing()
	if len(differing) == 0 {
		return nil
	}
	r.NotImported = append(r.NotImported, differing...)
	r.ByReason[onlineretail.Differs] = len(differing)
	return fault.Newf(fault.Conflict, "IMPORT_DIFFERS", "%d invoices, the first of them %s, are in the shop with other lines already and stay as they are; `annal import report --lines` lists them",
		len(differing), differing[0].Invoice)
}

func readPlan(path string) (*onlineretail.Plan, *report, error) {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "ZONE_UNKNOWN", "the zone Europe/London is not known here")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Missing, "IMPORT_FILE", "the file can't be opened")
	}
	defer func() { _ = file.Close() }() // only read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, nil, fault.New(fault.Invalid, "IMPORT_FILE", "this is not a file; give a CSV file, gzipped or not")
	}
	sheet, err := onlineretail.Read(file, zone)
	if err != nil {
		return nil, nil, err
	}
	plan := onlineretail.Arrange(sheet)
	rep := &report{File: filepath.Base(path), Digest: sheet.Digest, Lines: sheet.Lines, Sales: len(sheet.Sales), Cancelled: len(sheet.Cancellations),
		Products: len(plan.Products), Customers: len(plan.Customers), Orders: len(plan.Orders), Returns: len(plan.Returns),
		ByReason: map[onlineretail.Reason]int{}, NotImported: slices.Concat(sheet.Refused, plan.Unmatched)}
	slices.SortFunc(rep.NotImported, func(a, b onlineretail.Refused) int { return cmp.Compare(a.Number, b.Number) })
	for _, r := range rep.NotImported {
		rep.ByReason[r.Reason]++
	}
	return plan, rep, nil
}

// save writes the report aside and renames it: never half a file under the final name.
func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return fault.Wrap(err, fault.Unavailable, "REPORT_UNWRITABLE", "the import's report can't be written below the home")
}

// print shows the report without the lines that were not imported: those are many, and import report --lines lists them.
func (r *report) print(w io.Writer) error {
	t := newTable()
	t.Style().Format.Footer = text.FormatDefault
	t.SetTitle("%s", r.File)
	t.AppendRow(table.Row{"lines", r.Lines})
	t.AppendRow(table.Row{"sales", r.Sales})
	t.AppendRow(table.Row{"cancellations", r.Cancelled})
	t.AppendSeparator()
	t.AppendRows([]table.Row{{"products", r.Products}, {"customers", r.Customers}, {"orders", r.Orders}, {"returns", r.Returns}})
	t.AppendSeparator()
	for _, reason := range slices.Sorted(maps.Keys(r.ByReason)) {
		t.AppendRow(table.Row{"not imported: " + string(reason), r.ByReason[reason]})
	}
	if r.Finished {
		t.AppendFooter(table.Row{"finished", fmt.Sprintf("%.1f s", r.Seconds)})
		if r.Refusals > 0 {
			t.AppendFooter(table.Row{"orders not carried out", r.Refusals})
		}
	} else {
		t.AppendFooter(table.Row{"not finished", "run the import again"})
	}
	shown := *r
	shown.NotImported = nil
	return printTable(w, t, []report{shown})
}

func printReports(t *tool, lines bool, stdout io.Writer) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	dir := filepath.Join(cfg.Home, "imports")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return fault.New(fault.Missing, "NO_IMPORT", "nothing was imported into this home yet; see `annal import --help`")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var r report
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "REPORT_UNREADABLE", "the report "+filepath.Base(name)+" can't be read")
		}
		if !lines {
			err = r.print(stdout)
		}
		for _, refused := range r.NotImported {
			if lines && err == nil {
				err = json.NewEncoder(stdout).Encode(refused)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// showProgress tells how far an import is: in place on a terminal, a line every ten seconds otherwise. The returned
// function ends it.
func showProgress(w io.Writer, p *onlineretail.Progress, began time.Time) (stop func()) {
	every, begin, end := 10*time.Second, "", "\n"
	if onTerminal(w) {
		every, begin, end = 250*time.Millisecond, "\r\x1b[K", ""
	}
	tell := func() {
		done, all := p.Done()
		fmt.Fprintf(w, "%sproducts %d/%d  customers %d/%d  orders %d/%d  returns %d/%d  %d%%  %s%s", begin, p.Products.Load(), p.AllProducts,
			p.Customers.Load(), p.AllCustomers, p.Orders.Load(), p.AllOrders, p.Returns.Load(), p.AllReturns, done*100/max(all, 1),
			time.Since(began).Truncate(time.Second), end)
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tell()
			case <-quit:
				tell()
				if end == "" {
					fmt.Fprintln(w)
				}
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}
