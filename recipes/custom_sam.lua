--- A sam-type of your own: defined here, trained by recipes/cola.lua. Everything there works with
-- it, and with its masked form fisher-zsharp: flags, checkpoints, resuming, comparisons.
--
--     fsam-lua recipes/custom_sam.lua
--     fsam-lua recipes/custom_sam.lua CoLA/ --restore-file roberta.large/ --z-cut 1.5
--     fsam-lua recipes/compare.lua --recipe recipes/custom_sam.lua --optimizers sam,zsharp

local fsam = require("fsam")

-- ZSharp (Yun 2025, arXiv 2505.02369): SAM's ascent along the gradients that stand out in their
-- tensor, |z| = |g - mean| / deviation above a threshold, at the full radius. The paper's threshold
-- is a percentile of |z| (the top 5 %); here it is a number: 1.96, which 5 % of normally
-- distributed ones exceed.
fsam.sam.define("zsharp", {
  options = {
    { name = "rho", type = "number", default = 0.05, min = 0, help = "radius of the perturbation" },
    { name = "z_cut", type = "number", default = 1.96, min = 0,
      help = "zsharp perturbs where a gradient is this many deviations from its tensor's mean" },
  },
  ascend = function(s)
    local away = s.g - s.g:per("tensor"):mean()
    local deviation = (away * away):per("tensor"):mean():sqrt()
    local kept = away:abs():gt(deviation * s.z_cut) * s.g
    return kept * (s.rho / kept:norm())
  end,
})

-- The type is the default of this recipe; the command may name another, or a plain optimizer.
local typed = " " .. table.concat(arg, " "):gsub("_", "-")
if not typed:find(" --sam-type", 1, true) and not typed:find(" --optimizer", 1, true) then
  table.insert(arg, 1, "--sam-type=zsharp")
end
dofile((debug.getinfo(1, "S").source:match("^@(.*)custom_sam%.lua$")) .. "cola.lua")
