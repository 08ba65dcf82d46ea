--- Compares optimizers: several of them with several seeds on one task, at equal epochs or at equal
-- gradient evaluations, with a paired test against a baseline.
--
--     fsam-lua recipes/compare.lua                                   five types, seeds 1 to 5
--     fsam-lua recipes/compare.lua --optimizers adam,sam,fisher-sam --seeds 1-10 --budget both
--     fsam-lua recipes/compare.lua CoLA/ --restore-file roberta.large/ --rho 0.01
--     fsam-lua recipes/compare.lua --recipe recipes/custom_sam.lua --optimizers sam,zsharp
--
-- Flags that are not its own go to every run. Every run is a process of its own with its own run
-- folder: after Ctrl-C or a crash the same command goes on with what is missing.

local fsam = require("fsam")

local here = arg[0]:match("^(.*/)[^/]*$") or ""
local options = fsam.compare.parse(arg, {
  name = "compare.lua",
  usage = "fsam-lua recipes/compare.lua [DATA] [flags] [flags of every run]",
  summary = "Compares optimizers over seeds.",
  recipe = here .. "cola.lua",
})
local result = fsam.compare.run(options)
os.exit(result.interrupted and 130 or #result.failures > 0 and 1 or 0)
