--- The report of a comparison: a table on the terminal, runs.csv (a line per run) and summary.csv
-- (a line per optimizer and budget).
--
-- Owns: scores, differences to the baseline and how they look. Leaves to others: the tests
-- (statistics.lua).
local file = require("fsam.base.file")
local format = require("fsam.base.numbers")
local metrics = require("fsam.data.metrics")
local statistics = require("fsam.compare.statistics")

local M = {}

local TESTS = {
  t = { run = statistics.paired_t, name = "paired t-test" },
  wilcoxon = { run = statistics.wilcoxon, name = "Wilcoxon's exact signed-rank test" },
}

local function score_of(o, results)
  return results[o.score][results.best_checkpoint_metric]
end

-- Values of one field over runs.
local function collect(runs, get)
  local list = {}
  for _, run in ipairs(runs) do
    list[#list + 1] = get(run.results)
  end
  return list
end

-- Differences to the baseline's scores, of the seeds that both have.
local function differences(o, runs, baseline)
  local base, list = {}, {}
  for _, run in ipairs(baseline) do
    base[run.seed] = score_of(o, run.results)
  end
  for _, run in ipairs(runs) do
    if base[run.seed] then
      list[#list + 1] = score_of(o, run.results) - base[run.seed]
    end
  end
  return list
end

--- Numbers of one optimizer under one budget.
-- @tparam table o options (flags.lua)
-- @tparam {table,…} runs its finished runs, with results
-- @tparam {table,…} baseline the baseline's
-- @treturn table runs, mean, deviation, least, most, difference, difference_deviation, p,
--   statistic, updates, evaluations, step_seconds; each nil when there are too few runs for it
function M.summary(o, runs, baseline)
  local scores = collect(runs, function(r) return score_of(o, r) end)
  local s = {
    runs = #runs, mean = statistics.mean(scores), deviation = statistics.deviation(scores),
    least = #scores > 0 and math.min(unpack(scores)) or nil,
    most = #scores > 0 and math.max(unpack(scores)) or nil,
    updates = statistics.mean(collect(runs, function(r) return r.updates end)),
    evaluations = statistics.mean(collect(runs, function(r) return r.evaluations end)),
    step_seconds = statistics.median(collect(runs, function(r) return r.step_seconds end)),
  }
  if runs ~= baseline then
    local list = differences(o, runs, baseline)
    s.difference, s.difference_deviation = statistics.mean(list), statistics.deviation(list)
    s.p, s.statistic = TESTS[o.test].run(list)
  end
  return s
end

-- -- the terminal ---------------------------------------------------------------------------------

local function number(pattern, value)
  return value and pattern:format(value) or "–"
end

local LONGEST = 16 -- label of a baseline that the table's head can name

local function probability(p)
  return p and p < 0.001 and "<0.001" or number("%.3f", p)
end

local function with_deviation(pattern, mean, deviation)
  return number(pattern, mean) .. (deviation and (" ± %.4f"):format(deviation) or "")
end

-- Columns as wide as their widest cell; the first to the left, the others to the right.
local function lay_out(rows)
  local widths, lines = {}, {}
  local function width(text)
    return select(2, text:gsub("[^\128-\191]", ""))
  end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, width(cell))
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local pad = (" "):rep(widths[i] - width(cell))
      cells[i] = i == 1 and cell .. pad or pad .. cell
    end
    lines[#lines + 1] = table.concat(cells, "  ")
  end
  return table.concat(lines, "\n")
end

local function metric_of(group)
  for _, row in ipairs(group.rows) do
    if row.runs[1] then
      return row.runs[1].results.best_checkpoint_metric
    end
  end
  return "score"
end

--- The table of one budget.
-- @tparam table o options
-- @tparam table group budget; rows { entry, runs, summary }
function M.table(o, group)
  local label = o.baseline.label
  local minus = "minus " .. (#label <= LONGEST and label or "baseline")
  local rows = { { "optimizer", "runs", metric_of(group), minus, "p", "updates", "evaluations",
    "ms/update" } }
  for _, row in ipairs(group.rows) do
    local s, is_base = row.summary, row.entry == o.baseline
    rows[#rows + 1] = {
      row.entry.label, tostring(s.runs), with_deviation("%.4f", s.mean, s.deviation),
      is_base and "" or with_deviation("%+.4f", s.difference, s.difference_deviation),
      is_base and "" or probability(s.p),
      s.updates and format.count(s.updates) or "–",
      s.evaluations and format.count(s.evaluations) or "–",
      number("%.1f", s.step_seconds and s.step_seconds * 1e3),
    }
  end
  return lay_out(rows)
end

--- The line that says how to read the tables.
function M.legend(o)
  local others = #o.entries - 1
  return ("score: the %s epoch on the development set; ± standard deviation over seeds\n"
    .. "p: %s over seeds, two-sided%s\nevaluations: samples' gradients of a run; ms/update: median")
    :format(o.score, TESTS[o.test].name,
      others > 1 and (", not corrected for %d comparisons"):format(others) or "")
end

--- A line for each optimizer with collapsed runs, which gave every development sample the same
-- label.
function M.collapsed(groups)
  local lines, said = {}, {}
  for _, group in ipairs(groups) do
    for _, row in ipairs(group.rows) do
      local seeds = {}
      for _, run in ipairs(row.runs) do
        local r = run.results
        if not said[run.name] and (r.last.collapsed or r.best.collapsed) then
          said[run.name] = true
          seeds[#seeds + 1] = tostring(run.seed)
        end
      end
      if #seeds > 0 then
        lines[#lines + 1] = ("equal %s: %d of %d runs of %s collapsed (seed %s): they judged all "
          .. "development samples alike"):format(group.budget, #seeds, #row.runs, row.entry.label,
          table.concat(seeds, ", "))
      end
    end
  end
  return lines
end

-- -- files ----------------------------------------------------------------------------------------

-- A field of a CSV file, RFC 4180.
local function field(value)
  if value == nil then
    return ""
  end
  local text = type(value) == "number" and ("%.10g"):format(value) or tostring(value)
  return text:find('[",\r\n]') and '"' .. text:gsub('"', '""') .. '"' or text
end

local function csv(path, names, rows)
  local lines = { table.concat(names, ",") }
  for _, row in ipairs(rows) do
    local fields = {}
    for i, name in ipairs(names) do
      fields[i] = field(row[name])
    end
    lines[#lines + 1] = table.concat(fields, ",")
  end
  file.replace(path, table.concat(lines, "\n") .. "\n")
end

local function run_names()
  local names = { "budget", "optimizer", "seed" }
  for _, at in ipairs({ "best", "last" }) do
    names[#names + 1] = at .. "_epoch"
    for _, metric in ipairs(metrics.names) do
      names[#names + 1] = at .. "_" .. metric
    end
  end
  for _, name in ipairs({ "collapsed", "updates", "skipped", "samples", "evaluations",
    "train_seconds", "step_seconds", "folder" }) do
    names[#names + 1] = name
  end
  return names
end

local function run_row(budget, run)
  local r = run.results
  local row = { budget = budget, optimizer = run.entry.label, seed = run.seed,
    collapsed = r.last.collapsed, updates = r.updates, skipped = r.skipped, samples = r.samples,
    evaluations = r.evaluations, train_seconds = r.seconds.train, step_seconds = r.step_seconds,
    folder = run.folder }
  for _, at in ipairs({ "best", "last" }) do
    row[at .. "_epoch"] = r[at].epoch
    for _, metric in ipairs(metrics.names) do
      row[at .. "_" .. metric] = r[at][metric]
    end
  end
  return row
end

local SUMMARY = { "budget", "optimizer", "metric", "score", "runs", "mean", "deviation", "least",
  "most", "baseline", "difference", "difference_deviation", "test", "statistic", "p", "updates",
  "evaluations", "step_seconds" }

--- Writes runs.csv and summary.csv into the comparison's folder.
function M.write(o, groups)
  local runs, summaries = {}, {}
  for _, group in ipairs(groups) do
    for _, row in ipairs(group.rows) do
      for _, run in ipairs(row.runs) do
        runs[#runs + 1] = run_row(group.budget, run)
      end
      local s = { budget = group.budget, optimizer = row.entry.label, metric = metric_of(group),
        score = o.score, baseline = o.baseline.label, test = o.test }
      for key, value in pairs(row.summary) do
        s[key] = value
      end
      summaries[#summaries + 1] = s
    end
  end
  csv(o.save_dir .. "/runs.csv", run_names(), runs)
  csv(o.save_dir .. "/summary.csv", SUMMARY, summaries)
end

return M
