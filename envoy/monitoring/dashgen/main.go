// Command dashgen writes the dashboard for Grafana. "make generate" runs it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// output is read from the folder of package monitoring.
const output = "dashboard.json"

// panel is a diagram, or a number (stat), or a list of what there is (table).
type panel struct {
	kind, title, about string
	unit               string // Grafana's name for it
	queries            []query
}

// query is a line of a diagram for each set of labels, which legend names.
type query struct{ expr, legend string }

// row is a line across the dashboard with panels below it.
type row struct {
	title  string
	panels []panel
}

// bySite narrows a query to the sites that are chosen at the top.
const bySite = `site=~"$site"`

func rows() []row {
	return []row{
		{"What is the matter", []panel{
			{"stat", "Conditions", "How many conditions umagate status tells; 0 is well.", "none", []query{{`sum(max by (condition, site) (umagate_condition))`, ""}}},
			{"stat", "Leaders", "1 is right.", "none", []query{{`sum(umagate_leader)`, ""}}},
			{"stat", "Envoys without what was pushed", "Connected Envoys that have not accepted all of it.", "none", []query{{`max by (group) (umagate_envoys_connected - umagate_envoys_current)`, "{{group}}"}}},
			{"stat", "Least time of a PAT", "Until the first PAT ends. umagate renews it before.", "s", []query{{`min(umagate_site_pat_expiry_timestamp_seconds{` + bySite + `} - time())`, ""}}},
			{"table", "Conditions by name", "docs/status.md says what each means and what to do.", "none", []query{{`max by (condition, site) (umagate_condition) == 1`, ""}}},
		}},
		{"What requests meet", []panel{
			{"timeseries", "Decisions", "By result and reason.", "reqps", []query{{`sum by (result, reason) (rate(umagate_decisions_total{` + bySite + `}[$__rate_interval]))`, "{{result}} {{reason}}"}}},
			{"timeseries", "Share that cannot be judged", "503, since the token cannot be verified, and 403, since there is no ticket.", "percentunit", []query{{
				`sum by (site) (rate(umagate_decisions_total{result="deny", reason=~"as_.*|no_ticket", ` + bySite + `}[$__rate_interval])) / sum by (site) (rate(umagate_decisions_total{` + bySite + `}[$__rate_interval]))`, "{{site}}",
			}}},
			{"timeseries", "Tokens known", "Share of look-ups that the cache of the worker answered, and of those that went on with a stale answer.", "percentunit", []query{{
				`sum by (result) (rate(umagate_token_lookups_total{` + bySite + `}[$__rate_interval])) / ignoring (result) group_left () sum (rate(umagate_token_lookups_total{` + bySite + `}[$__rate_interval]))`, "{{result}}",
			}}},
			{"timeseries", "Messages to MCP servers", "By method, tool and what became of it: as the file names them.", "reqps", []query{{`sum by (mcp_method, mcp_name, result) (rate(umagate_mcp_messages_total{` + bySite + `}[$__rate_interval]))`, "{{mcp_method}} {{mcp_name}} {{result}}"}}},
			{"timeseries", "Streams that end with their tokens", "Open in all workers, and ended in a second, by why.", "none", []query{{`sum(umagate_live_streams)`, "open"}, {`sum by (reason) (rate(umagate_streams_ended_total{` + bySite + `}[$__rate_interval]))`, "ended: {{reason}}"}}},
			{"timeseries", "Requests that wait", "For a call to the authorization server or the control plane, in all workers.", "none", []query{{`sum(umagate_waiting_requests)`, "requests"}}},
		}},
		{"The authorization server, as Envoys meet it", []panel{
			{"timeseries", "Calls", "By operation and outcome.", "reqps", []query{{`sum by (operation, outcome) (rate(umagate_as_calls_total{` + bySite + `}[$__rate_interval]))`, "{{operation}} {{outcome}}"}}},
			{"timeseries", "Time of a call", "Of one call in two, and of the slowest in a hundred.", "s", []query{
				{`histogram_quantile(0.5, sum by (operation, le) (rate(umagate_as_call_milliseconds_bucket{` + bySite + `}[$__rate_interval]))) / 1000`, "{{operation}} half"},
				{`histogram_quantile(0.99, sum by (operation, le) (rate(umagate_as_call_milliseconds_bucket{` + bySite + `}[$__rate_interval]))) / 1000`, "{{operation}} 99 %"},
			}},
		}},
		{"The authorization server, as the control plane meets it", []panel{
			{"timeseries", "Calls", "By operation and status; none is no answer.", "reqps", []query{{`sum by (operation, code) (rate(umagate_as_call_duration_seconds_count{` + bySite + `}[$__rate_interval]))`, "{{operation}} {{code}}"}}},
			{"timeseries", "Time of a call", "Of one call in two, and of the slowest in a hundred.", "s", []query{
				{`histogram_quantile(0.5, sum by (operation, le) (rate(umagate_as_call_duration_seconds_bucket{` + bySite + `}[$__rate_interval])))`, "{{operation}} half"},
				{`histogram_quantile(0.99, sum by (operation, le) (rate(umagate_as_call_duration_seconds_bucket{` + bySite + `}[$__rate_interval])))`, "{{operation}} 99 %"},
			}},
		}},
		{"Control plane and Envoys", []panel{
			{"timeseries", "Envoys connected", "By group.", "none", []query{{`max by (group) (umagate_envoys_connected)`, "{{group}}"}}},
			{"timeseries", "Envoys that refuse", "What was sent last, by type.", "none", []query{{`max by (group, type) (umagate_envoys_refusing)`, "{{group}} {{type}}"}}},
			{"timeseries", "Resources", "Declared and registered.", "none", []query{{`max by (site, state) (umagate_site_resources{` + bySite + `})`, "{{site}} {{state}}"}}},
			{"timeseries", "Memory", "Of umagate serve, and of what Envoys' workers keep of tokens.", "bytes", []query{
				{`process_resident_memory_bytes{job="umagate"}`, "{{instance}}"},
				{`sum(umagate_cached_token_bytes)`, "tokens in Envoys"},
			}},
		}},
	}
}

type object = map[string]any

const (
	columns = 24
	height  = 8
)

// dashboard lays the rows out: numbers four in a line, the rest two.
func dashboard() object {
	var panels []object
	id, y := 0, 0
	add := func(p object, x, width, height int) {
		id++
		p["id"], p["gridPos"] = id, object{"x": x, "y": y, "w": width, "h": height}
		panels = append(panels, p)
	}
	for _, r := range rows() {
		add(object{"type": "row", "title": r.title, "collapsed": false, "panels": []object{}}, 0, columns, 1)
		y++
		x := 0
		for _, p := range r.panels {
			width, tall := columns/2, height
			switch p.kind {
			case "stat":
				width, tall = columns/4, height/2
			case "table":
				width = columns
			}
			if x+width > columns {
				x, y = 0, y+tall
			}
			add(p.object(), x, width, tall)
			if x += width; x >= columns {
				x, y = 0, y+tall
			}
		}
		if x > 0 {
			y += height
		}
	}
	return object{
		"title": "umagate", "uid": "umagate", "tags": []string{"umagate"}, "annotations": object{"list": []object{}}, "editable": true, "schemaVersion": 38, "version": 1,
		"refresh": "30s", "time": object{"from": "now-1h", "to": "now"}, "panels": panels,
		"templating": object{"list": []object{
			{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
			{
				"name": "site", "label": "Site", "type": "query", "datasource": source(), "includeAll": true, "multi": true, "allValue": ".*", "refresh": 2,
				"current": object{"text": "All", "value": "$__all"},
				"query":   object{"query": "label_values(umagate_site_phase, site)", "refId": "site"},
			},
		}},
	}
}

func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (p panel) object() object {
	var targets []object
	for i, q := range p.queries {
		t := object{"refId": string(rune('A' + i)), "expr": q.expr, "legendFormat": q.legend, "datasource": source()}
		if p.kind == "table" {
			t["format"], t["instant"] = "table", true
		}
		targets = append(targets, t)
	}
	return object{
		"type": p.kind, "title": p.title, "description": p.about, "datasource": source(), "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": p.unit}, "overrides": []object{}},
	}
}

func document() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(dashboard())
	return b.Bytes(), err
}

func main() {
	text, err := document()
	if err == nil {
		err = os.WriteFile(output, text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashgen:", err)
		os.Exit(1)
	}
}
