--- Writes the batch order of a CoLA run as JSON, so that another program can train on the same
-- batches: fsam-lua bench/cola/order.lua DATA SEED EPOCHS BATCH_SIZE > order.json
-- Output: { epochs: [ [ [row, …], … ], … ] }, rows of train.tsv from 0 (fairseq's order; samples
-- are not filtered by length, because CoLA's longest has 47 tokens).
local order = require("fsam.data.order")
local corpus = require("fsam.data.corpus")
local json = require("fsam.base.json")
local tasks = require("fsam.data.tasks")

local data, seed, epochs, size = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
if not size then
  io.stderr:write("usage: fsam-lua bench/cola/order.lua DATA SEED EPOCHS BATCH_SIZE\n")
  os.exit(2)
end

local lengths = {}
for i = 1, #corpus.split(tasks.get("cola"), data, "train").samples do
  lengths[i] = 1
end
local frozen = order.batches(lengths, { seed = seed, max_sentences = size, split = "train" })
local out = {}
for epoch = 1, epochs do
  local list = {}
  for b, batch in ipairs(order.epoch(frozen, seed, epoch)) do
    local rows = {}
    for i, sample in ipairs(batch) do
      rows[i] = sample - 1
    end
    list[b] = json.array(rows)
  end
  out[epoch] = json.array(list)
end
io.write(json.encode({ epochs = json.array(out) }), "\n")
