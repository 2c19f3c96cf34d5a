export { default } from './TrendsPage.vue';
