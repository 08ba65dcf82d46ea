--- Tables of tasks: one without a header, a pair with one, and a regression.
local corpus = require("fsam.data.corpus")
local errors = require("fsam.errors")
local tasks = require("fsam.data.tasks")

local FILE = { name = "train.tsv", header = true, columns = { "id", "one", "two", "score" } }

local function define()
  tasks.define("fuzz_pair", { title = "pairs", data = "a folder", text = "one", pair = "two",
    label = "score", labels = { "no", "yes" }, metrics = { "accuracy" },
    files = { train = FILE, dev = FILE } })
  tasks.define("fuzz_score", { title = "scores", data = "a folder", text = "one", pair = "two",
    label = "score", scores = { min = 0, max = 5 }, metrics = { "pearson" },
    files = { train = FILE, dev = FILE } })
end

return {
  parts = { { name = "train.tsv", kind = "bytes" } },
  words = { "\t", "\n", "\r\n", "id\tone\ttwo\tscore\n", "gj04\t1\t\tThe book.\n", "no", "yes",
  "5.0",
    "\239\187\191", "\255\254", "0", "1", "nan", "0x1p4" },
  seeds = function()
    return {
      { ["train.tsv"] = "gj04\t1\t\tThe book sank.\ngj04\t0\t*\tThe the book.\nbc01\t1\t\ta\n" },
      { ["train.tsv"] = "id\tone\ttwo\tscore\n1\ta cat\ta dog\tno\n2\tb\tc\tyes\n" },
      { ["train.tsv"] = "id\tone\ttwo\tscore\n1\ta cat\ta dog\t2.5\n2\tb\tc\t5\n" },
    }
  end,
  start = function()
    define()
    return { tasks.get("cola"), tasks.get("fuzz_pair"), tasks.get("fuzz_score") }
  end,
  run = function(_, folder, rows)
    local refused, accepted
    for _, row in ipairs(rows) do
      local ok, dataset = pcall(corpus.split, row, folder, "train")
      for _, sample in ipairs(ok and dataset.samples or {}) do
        assert(type(sample.text) == "string" and sample.label == sample.label, "a wrong sample")
      end
      if not ok and not errors.is(dataset) then
        error(dataset, 0)
      end
      refused, accepted = not ok and dataset or refused, ok or accepted
    end
    if not accepted then
      error(refused, 0)
    end
  end,
}
