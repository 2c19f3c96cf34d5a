export { default } from "genba-ui/overview.js";
