--- The command line of a recipe.
local options = require("fsam.options")
local seeds = require("spec.fuzz.seeds")
local train = require("fsam.train")

local SEEDS = { "--lr\n1e-3\n--sam-type\nfisher-sam\n--rho\n0.05\n--batch-size\n8",
  "CoLA\n--restore-file\nroberta\n--optimizer\nadam\n--freeze\nembed,bias\n--adam-betas=(0.9,0.98)",
  "--max-epoch=3\n--max_update\n10\n--seed\n7\n--no-save\n--dropout\n0.1\n--fp16\n--patience\n2" }

local function words(spec)
  local list = { "--help", "-h", "-1", "--", "-", "=", "sam", "adam", "asam", "linear", "none",
  "cpu",
    "all", "path with spaces", "--arch", "roberta_large", "--criterion", "--user-dir" }
  for _, flag in ipairs(spec.flags) do
    list[#list + 1] = "--" .. flag.name
    for _, value in ipairs(seeds.values_of(flag)) do -- two words that fit together
      list[#list + 1] = ("--%s\n%s"):format(flag.name, value)
    end
    for _, choice in ipairs(flag.choices or {}) do
      list[#list + 1] = choice
    end
  end
  return list
end

local spec = train.flags.spec({ name = "cola.lua", usage = "cola.lua", task = "cola" })

return {
  parts = { { name = "words", kind = "words" } },
  files = false,
  words = words(spec),
  seeds = function()
    local list = {}
    for i, text in ipairs(SEEDS) do
      list[i] = { words = text }
    end
    return list
  end,
  start = seeds.one_parser,
  run = function(bundle)
    local list = { [0] = "cola.lua" }
    for word in (bundle.words or ""):gmatch("[^\n%z]+") do
      list[#list + 1] = word
    end
    options.read(list, spec)
  end,
}
