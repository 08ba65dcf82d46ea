--- Schedules of the learning rate from a command line: the tables of `manual`, and flags that do
-- not go together. Every rate is a number from 0 on.
local options = require("fsam.options")
local seeds = require("spec.fuzz.seeds")
local schedule = require("fsam.train.schedule")
local train = require("fsam.train")

local SEEDS = { "manual\n--epoch2lr\n{'1-3': 1e-5, '4,5': 5e-6}\n--update2lr\n{\"7\": 1e-4}",
  "cosine\n--lr-period-updates\n7\n--t-mult\n1.5\n--min-lr\n1e-7\n--lr-shrink\n0.3",
  "tri_stage\n--phase-ratio\n0.2,0.3,0.5\n--final-lr-scale\n0.1",
  "triangular\n--max-lr\n1e-3\n--lr-period-updates\n9\n--shrink-min",
  "fixed\n--lr\n1e-5,2e-5\n--force-anneal\n2\n--lr-shrink\n0.5\n--warmup-updates\n3",
  "polynomial_decay\n--power\n2\n--end-learning-rate\n1e-7\n--force-anneal\n2",
  "reduce_lr_on_plateau\n--lr-patience\n1\n--lr-threshold\n0.01\n--warmup-init-lr\n1e-7",
  "step\n--lr-decay-period\n5\n--lr-decay\n0.5\n--min-lr\n1e-7", "inverse_sqrt" }

local spec = train.flags.spec({ name = "cola.lua", usage = "cola.lua", task = "cola" })

local function flag_names()
  local list = schedule.names()
  for _, flag in ipairs(spec.flags) do
    if flag.group == "Learning rate and length" then
      list[#list + 1] = "--" .. flag.name
      for _, value in ipairs(seeds.values_of(flag)) do -- two words that fit together
        list[#list + 1] = ("--%s\n%s"):format(flag.name, value)
      end
    end
  end
  return list
end

local VALUES = { 70, 71, 71, 69 } -- of four epochs' validations

return {
  parts = { { name = "words", kind = "words" } },
  files = false,
  words = flag_names(),
  seeds = function()
    local list = {}
    for i, text in ipairs(SEEDS) do
      list[i] = { words = "--lr-scheduler\n" .. text }
    end
    return list
  end,
  start = seeds.one_parser,
  run = function(bundle)
    local list = { [0] = "cola.lua" }
    for word in (bundle.words or ""):gmatch("[^\n%z]+") do
      list[#list + 1] = word
    end
    local o = options.read(list, spec)
    if o.help then
      return
    end
    local settings = { lr = o.lr, total_num_update = o.total_num_update or 20 }
    for name, value in pairs(o.owned.schedule) do
      settings[name] = value
    end
    for _, d in ipairs(schedule.get(o.lr_scheduler).options) do
      if d.name == "warmup_updates" then
        settings.warmup_updates = o.warmup_updates or 2
      end
    end
    local rates, n = schedule.new(o.lr_scheduler, settings), 0
    for epoch, value in ipairs(VALUES) do
      rates:begin_epoch(epoch)
      for _ = 1, 7 do
        local rate = rates:rate(n)
        assert(rate >= 0 and rate < math.huge, ("update %d has the rate %g"):format(n, rate))
        n = n + 1
      end
      rates:end_epoch(value)
    end
  end,
}
